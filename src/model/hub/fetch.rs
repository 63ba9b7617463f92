//! Files of a repository, fetched from the hub into its cache with the `hf-hub` crate, which goes on with what an earlier try has left.
//!
//! What that crate leaves to its callers is here: the environment (`HF_TOKEN`, `HF_HUB_OFFLINE`, ...), names from the server that are no plain
//! names, whether a file arrived whole, and words for what the hub answers.

use super::{Name, wanted};
use crate::error::{At, Error, Result};
use crate::guard;
use crate::interrupt;
use crate::model::huggingface::INDEX;
use crate::progress::{Progress, Unit};
use crate::terminal;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ENDPOINT: &str = "https://huggingface.co";
/// A network that swallows what it is asked must not look like a slow one.
const REACHED_WITHIN: Duration = Duration::from_secs(10);
/// A connection that breaks is tried again, from where it broke.
const RETRIES: usize = 3;

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Fetches what is needed of `name` into `cache`; `shown` is the name as the user gave it.
///
/// # Errors
/// The hub is not to be reached or not to be asked, has no such thing, or does not give it to this user.
pub fn fetch(name: &Name, cache: Option<&Path>, shown: &Path) -> Result<PathBuf> {
    let Some(cache) = cache else {
        return Err(Error::new("there is no place for a cache of the hub").at(shown.display()).remedy("set HF_HOME to a directory"));
    };
    let hub = Hub::new(name, cache).map_err(|error| hint(name, error).at(shown.display()))?;
    hub.fetch().map_err(|error| hint(name, error).at(shown.display()))
}

/// Without `hf://`, a path may have been meant.
fn hint(name: &Name, error: Error) -> Error {
    match (name.explicit, error.help()) {
        (false, help) => {
            let help = help.map(|help| format!("; {help}")).unwrap_or_default();
            let message = format!("there is no such path, and as a model of the hub: {}", error.message());
            Error::new(message).remedy(format!("check the path, or the name on the hub{help}"))
        }
        _ => error,
    }
}

struct Hub<'a> {
    name: &'a Name,
    cache: &'a Path,
    endpoint: String,
    api: Api,
    repository: ApiRepo,
    has_token: bool,
}

impl<'a> Hub<'a> {
    fn new(name: &'a Name, cache: &'a Path) -> Result<Hub<'a>> {
        let command = format!("hf download {}", name.id());
        if environment("HF_HUB_OFFLINE").is_some_and(|value| !["0", "false", "no", "off"].contains(&value.to_lowercase().as_str())) {
            return Err(Error::new(format!(
                "it is not in the cache of the hub on this machine ({}), and HF_HUB_OFFLINE forbids to fetch it",
                cache.display()
            ))
            .remedy(format!("unset HF_HUB_OFFLINE, or fetch it on a machine that may (`{command}`) and copy its cache")));
        }
        let endpoint = environment("HF_ENDPOINT").map_or_else(|| ENDPOINT.to_owned(), |endpoint| endpoint.trim_end_matches('/').to_owned());
        if !reachable(&endpoint) {
            return Err(Error::new(format!(
                "it is not in the cache of the hub on this machine ({}), and {endpoint} can't be reached",
                cache.display()
            ))
            .remedy(format!("where there is a network, `{command}` fetches it: copy the cache from there, or give a model that is here")));
        }
        let token = token(cache);
        let has_token = token.is_some();
        let builder =
            ApiBuilder::from_cache(Cache::new(cache.to_owned())).with_endpoint(endpoint.clone()).with_token(token).with_retries(RETRIES);
        let api = builder.with_user_agent("caramba", env!("CARGO_PKG_VERSION")).build().map_err(|error| Error::new(error.to_string()))?;
        let repository = api.repo(Repo::with_revision(name.id(), RepoType::Model, name.revision.clone()));
        Ok(Hub { name, cache, endpoint, api, repository, has_token })
    }

    fn fetch(&self) -> Result<PathBuf> {
        let info = guarded(|| self.repository.info()).map_err(|error| self.told(&error, None))?;
        let all: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).filter(|name| wanted::is_plain(name)).collect();
        let wanted = wanted::of(&all, &self.name.file)?;
        terminal::note(&format!("fetching {} from {} into {}", self.name.id(), self.endpoint, self.cache.display()));
        let mut found = PathBuf::new();
        for file in &wanted.files {
            found = self.file(file)?;
        }
        if wanted.index {
            for shard in wanted::shards_of(&found).at(INDEX)? {
                self.file(&shard)?;
            }
        }
        // The last one is that which was asked for; of a whole repository its directory.
        if !self.name.file.as_os_str().is_empty() {
            return Ok(found);
        }
        Ok(found.parent().map_or_else(|| self.name.snapshot(self.cache), PathBuf::from))
    }

    /// Where a file of the repository lies once it is there.
    fn file(&self, file: &str) -> Result<PathBuf> {
        let there = self.name.snapshot(self.cache).join(file);
        if there.is_file() {
            return Ok(there);
        }
        interrupt::check()?;
        let metadata = guarded(|| self.api.metadata(&self.repository.url(file))).map_err(|error| self.told(&error, Some(file)))?;
        let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let etag = metadata.etag();
        if !word(metadata.commit_hash()) || !word(etag) {
            return Err(Error::new("the hub answers with a hash that is none").at(file).remedy("check HF_ENDPOINT"));
        }
        let blob = self.cache.join(format!("models--{}--{}", self.name.organisation, self.name.repository)).join("blobs").join(etag);
        let part = blob.with_extension("part");
        // A part that is longer than the whole is of another file.
        if std::fs::metadata(&part).is_ok_and(|part| part.len() >= metadata.size() as u64) {
            std::fs::remove_file(&part).at(part.display())?;
        }
        let fetched = guarded(|| self.repository.download_with_progress(file, Shown { file: file.to_owned(), progress: None, done: 0 }))
            .map_err(|error| self.told(&error, Some(file)))?;
        whole(&fetched, metadata.size() as u64, etag).map_err(|error| {
            // What is broken must not be found the next time. That it can't be removed is told by the next time.
            _ = std::fs::remove_file(&fetched);
            _ = std::fs::remove_file(&blob);
            error.at(file).remedy("try again: the network or a proxy has changed it")
        })?;
        Ok(fetched)
    }

    /// What the hub's answer means.
    fn told(&self, error: &ApiError, file: Option<&str>) -> Error {
        let id = self.name.id();
        let page = format!("{}/{id}", self.endpoint);
        let error = match status(error) {
            Some(401) if !self.has_token => {
                Error::new(format!("the hub answers 401: there is no {id}, or it is gated or private")).remedy(format!(
                    "check the name; if it is gated, accept its terms at {page}, then set HF_TOKEN to a token of yours (or `hf auth login`)"
                ))
            }
            Some(401) => Error::new(format!("the hub answers 401: the token is not valid, or there is no {id} that it opens"))
                .remedy("make a new token in the settings of your account, and set HF_TOKEN to it"),
            Some(403) => Error::new(format!("the hub answers 403: this account has no access to {id}"))
                .remedy(format!("ask for it at {page}; a fine-grained token must also be allowed to read gated repositories")),
            Some(404) => Error::new(match file {
                Some(file) => format!("the hub answers 404: {id} has no file {file} in the revision {}", self.name.revision),
                None => format!("the hub answers 404: there is no {id} with a revision {}", self.name.revision),
            })
            .remedy(format!("look at {page}")),
            Some(429) => Error::new("the hub answers 429: too many requests").remedy("try again in some minutes, or set HF_TOKEN"),
            Some(code) => Error::new(format!("the hub answers {code}")).remedy("try again later"),
            None => Error::new(format!("the hub's answer can't be used: {error}"))
                .remedy("try again: what has arrived is kept, and gone on with"),
        };
        match file {
            Some(file) => error.at(file),
            None => error,
        }
    }
}

/// The status of an HTTP answer that is an error.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

/// `hf-hub` asserts what it expects of a server.
fn guarded<T>(ask: impl FnOnce() -> std::result::Result<T, ApiError>) -> std::result::Result<T, ApiError> {
    guard::caught("the hub's library", ask).unwrap_or_else(|_| Err(ApiError::InvalidHeader("Location")))
}

/// The user's token: in the environment, or in the file where the hub's programs keep it.
fn token(cache: &Path) -> Option<String> {
    let named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(environment);
    let file = || {
        let path = environment("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| cache.parent().map(|home| home.join("token")))?;
        std::fs::read_to_string(path).ok()
    };
    named.or_else(file).map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Whether somebody listens there. Through a proxy only the proxy knows.
fn reachable(endpoint: &str) -> bool {
    let proxies = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
    if proxies.into_iter().any(|name| environment(name).is_some()) {
        return true;
    }
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let host = rest.split('/').next().unwrap_or_default();
    let address = if host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:{}", if scheme == "http" { 80 } else { 443 })
    };
    let Ok(mut addresses) = address.to_socket_addrs() else { return false };
    addresses.any(|address| TcpStream::connect_timeout(&address, REACHED_WITHIN).is_ok())
}

/// That a file has the length and, where its name on the hub is its hash, the content that it should have.
fn whole(path: &Path, size: u64, etag: &str) -> Result<()> {
    let mut file = std::fs::File::open(path)?;
    let found = file.metadata()?.len();
    if found != size {
        return Err(Error::new(format!("{found} bytes have arrived, expected {size}")));
    }
    // Files of Git LFS are named by their SHA-256, the others by Git's hash.
    if etag.len() != 64 {
        return Ok(());
    }
    let (mut hasher, mut chunk) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => hasher.update(&chunk[..length]),
        }
        interrupt::check()?;
    }
    let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if hash == etag.to_lowercase() { Ok(()) } else { Err(Error::new(format!("its SHA-256 is {hash}, expected {etag}"))) }
}

/// How far a download is.
struct Shown {
    file: String,
    progress: Option<Progress>,
    done: u64,
}

impl hf_hub::api::Progress for Shown {
    fn init(&mut self, size: usize, _: &str) {
        self.done = 0;
        self.progress = Some(Progress::new(format!("fetching {}", self.file), Some(size as u64), Unit::Bytes));
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        if let Some(progress) = &self.progress {
            progress.set(self.done);
        }
    }

    fn finish(&mut self) {
        self.progress = None;
    }
}
