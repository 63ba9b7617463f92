//! Models by their name on the hub, fetched from a server that speaks its protocol on this machine.

mod common;

use assert_cmd::Command;
use common::cli::shown;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server is asked for, and how it behaves.
#[derive(Default)]
struct Served {
    /// `ORG/NAME` -> the repository's files.
    repositories: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Repositories that want this token, and those whose terms nobody has accepted.
    gated: BTreeMap<String, String>,
    refused: Vec<String>,
    /// The next answers for files of this name break off after so many bytes.
    breaks: Mutex<Vec<(String, usize)>>,
    /// Path and range of each request.
    asked: Mutex<Vec<String>>,
}

/// Its address; it serves until the process ends.
fn serve(served: Served) -> (String, Arc<Served>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::new(served);
    let shared = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || answer(&shared, stream.unwrap()));
        }
    });
    (address, served)
}

fn answer(served: &Served, mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    // A connection that is only tried asks for nothing.
    let Some(request) = lines.next() else { return };
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let range = headers.get("range").cloned();
    served.asked.lock().unwrap().push(format!("{path} {}", range.clone().unwrap_or_default()).trim().to_owned());
    let mut send = |status: &str, more: &str, body: &[u8], sent: usize| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n", body.len());
        // Whoever hangs up has what he wanted.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent.min(body.len())]));
    };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (repository, rest) = match parts.as_slice() {
        ["api", "models", organisation, name, "revision", revision] => (format!("{organisation}/{name}"), (*revision, None)),
        ["api", "models", organisation, name] => (format!("{organisation}/{name}"), ("main", None)),
        [organisation, name, "resolve", revision, file @ ..] => (format!("{organisation}/{name}"), (*revision, Some(file.join("/")))),
        _ => return send("404 Not Found", "", b"", 0),
    };
    let token = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if served.gated.get(&repository).is_some_and(|wanted| token != Some(wanted)) {
        return send("401 Unauthorized", "", b"Access is restricted", 20);
    }
    if served.refused.contains(&repository) {
        return send("403 Forbidden", "", b"Ask for access", 14);
    }
    let Some(files) = served.repositories.get(&repository).filter(|_| ["main", "v1", COMMIT].contains(&rest.0)) else {
        return send("404 Not Found", "", b"", 0);
    };
    let Some(file) = rest.1 else {
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "id": repository, "sha": COMMIT, "siblings": siblings }).to_string();
        return send("200 OK", "Content-Type: application/json\r\n", info.as_bytes(), usize::MAX);
    };
    let Some(bytes) = files.get(&file) else { return send("404 Not Found", "", b"", 0) };
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let (from, to) = match range.as_deref().and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-')) {
        Some((from, to)) => (from.parse().unwrap(), to.parse::<usize>().map_or(bytes.len(), |to| to + 1).min(bytes.len())),
        None => (0, bytes.len()),
    };
    let more = format!("ETag: \"{hash}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Range: bytes {from}-{}/{}\r\n", to - 1, bytes.len());
    let mut breaks = served.breaks.lock().unwrap();
    let place = if range.as_deref() == Some("bytes=0-0") { None } else { breaks.iter().position(|(name, _)| *name == file) };
    let sent = place.map_or(usize::MAX, |place| breaks.remove(place).1);
    send("206 Partial Content", &more, &bytes[from..to], sent);
}

/// The files of the bundled model, in shards as the hub's large models are.
fn sharded() -> BTreeMap<String, Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/austen");
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    let whole = read("model.safetensors");
    let weights = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let mut names = weights.names();
    names.sort_unstable();
    let (first, second) = names.split_at(names.len() / 2);
    let mut files = BTreeMap::new();
    let mut map = serde_json::Map::new();
    for (names, file) in [(first, "model-00001-of-00002.safetensors"), (second, "model-00002-of-00002.safetensors")] {
        let views = names.iter().map(|name| (*name, weights.tensor(name).unwrap()));
        files.insert(file.to_owned(), safetensors::serialize(views, None).unwrap());
        names.iter().for_each(|name| _ = map.insert((*name).to_owned(), file.into()));
    }
    files.insert("model.safetensors.index.json".into(), serde_json::json!({ "weight_map": map }).to_string().into_bytes());
    for name in ["config.json", "tokenizer.json"] {
        files.insert(name.into(), read(name));
    }
    for surplus in ["README.md", "pytorch_model.bin", "onnx/model.onnx"] {
        files.insert(surplus.into(), vec![7; 100]);
    }
    files
}

/// `caramba inspect NAME` with the hub at `endpoint` and its cache in `home`.
fn inspect(home: &Path, endpoint: &str, name: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::cargo_bin("caramba").unwrap();
    for unset in [
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_HUB_CACHE",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(unset);
    }
    command.current_dir(home).args(["inspect", name]).env("HF_HOME", home).env("HF_ENDPOINT", endpoint).env("COLUMNS", "110");
    shown(&command.envs(environment.iter().copied()).output().unwrap())
}

fn snapshot(home: &Path, repository: &str) -> PathBuf {
    home.join("hub").join(format!("models--{}", repository.replace('/', "--"))).join("snapshots").join(COMMIT)
}

fn named(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_sharded_model_is_fetched_once_and_only_what_it_needs() {
    let (endpoint, served) = serve(Served { repositories: BTreeMap::from([("org/austen".into(), sharded())]), ..Served::default() });
    let home = tempfile::tempdir().unwrap();
    let told = inspect(home.path(), &endpoint, "hf://org/austen", &[]);
    assert!(told.starts_with("exit code 0\nausten\n") && told.contains("vocabulary  2048 tokens"), "{told}");
    let files = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ];
    assert_eq!(named(&snapshot(home.path(), "org/austen")), files);
    let asked = served.asked.lock().unwrap().len();
    // It is there now: nobody is asked again, whatever it is called.
    for name in ["hf://org/austen", "org/austen", &format!("hf://org/austen@{COMMIT}")] {
        let told = inspect(home.path(), &endpoint, name, &[]);
        assert!(told.starts_with("exit code 0\n") && !told.contains("fetching"), "{told}");
    }
    assert_eq!(served.asked.lock().unwrap().len(), asked);
    let told = inspect(home.path(), &endpoint, "hf://org/austen", &[("HF_HUB_OFFLINE", "1")]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
}

#[test]
fn a_plain_name_a_revision_and_a_single_file_are_fetched() {
    let mut files = sharded();
    files.insert("config.json".into(), std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/austen/config.json")).unwrap());
    files.insert("q.gguf".into(), std::fs::read(common::fixture("gguf/llama_q8_0.gguf")).unwrap_or_else(|_| gguf()));
    let (endpoint, served) = serve(Served { repositories: BTreeMap::from([("org/austen".into(), files)]), ..Served::default() });
    let home = tempfile::tempdir().unwrap();
    let told = inspect(home.path(), &endpoint, "org/austen", &[]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
    let told = inspect(home.path(), &endpoint, "hf://org/austen@v1/q.gguf", &[]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
    assert!(named(&snapshot(home.path(), "org/austen")).contains(&"q.gguf".to_owned()));
    assert!(served.asked.lock().unwrap().iter().any(|path| path.starts_with("/org/austen/resolve/v1/q.gguf")));
    let told = inspect(home.path(), &endpoint, "hf://org/austen/q8.gguf", &[]);
    assert!(told.starts_with("exit code 1\n") && told.contains("did you mean `q.gguf`?"), "{told}");
    let told = inspect(home.path(), &endpoint, "hf://org/austen@v2", &[]);
    assert!(told.contains("the hub answers 404: there is no org/austen with a revision v2"), "{told}");
    // What looks like a path is not asked for.
    let before = served.asked.lock().unwrap().len();
    let told = inspect(home.path(), &endpoint, "models/austne", &[]);
    assert!(told.starts_with("exit code 1\n") && !told.contains("hub"), "{told}");
    assert_eq!(served.asked.lock().unwrap().len(), before);
}

/// Any GGUF of the fixtures.
fn gguf() -> Vec<u8> {
    let directory = common::fixture("gguf");
    let mut all: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    std::fs::read(all.iter().find(|path| path.extension().is_some_and(|extension| extension == "gguf")).unwrap()).unwrap()
}

#[test]
fn what_breaks_off_is_gone_on_with() {
    let shard = "model-00001-of-00002.safetensors".to_owned();
    // The process gives up after the first try and some more.
    let breaks = Mutex::new((1..=5).map(|_| (shard.clone(), 50_000)).collect());
    let (endpoint, served) =
        serve(Served { repositories: BTreeMap::from([("org/austen".into(), sharded())]), breaks, ..Served::default() });
    let home = tempfile::tempdir().unwrap();
    let told = inspect(home.path(), &endpoint, "hf://org/austen", &[]);
    assert!(told.starts_with("exit code 1\n") && told.contains("what has arrived is kept, and gone on with"), "{told}");
    let told = inspect(home.path(), &endpoint, "hf://org/austen", &[]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
    let asked = served.asked.lock().unwrap();
    let ranges: Vec<&str> = asked.iter().filter_map(|path| path.strip_prefix(&format!("/org/austen/resolve/main/{shard} "))).collect();
    // Each look at the file's length, and each try from where the one before broke off.
    let tries: Vec<&str> = ranges.into_iter().filter(|range| *range != "bytes=0-0").collect();
    assert_eq!(tries, ["bytes=0-", "bytes=50000-", "bytes=100000-", "bytes=150000-", "bytes=200000-", "bytes=250000-"]);
}

#[test]
fn tokens_and_refusals() {
    let repositories = BTreeMap::from([("org/gated".into(), sharded()), ("org/refused".into(), sharded())]);
    let gated = BTreeMap::from([("org/gated".to_owned(), "hf_secret".to_owned())]);
    let (endpoint, _) = serve(Served { repositories, gated, refused: vec!["org/refused".into()], ..Served::default() });
    let home = tempfile::tempdir().unwrap();
    let told = inspect(home.path(), &endpoint, "hf://org/gated", &[]);
    assert!(
        told.contains("the hub answers 401: there is no org/gated, or it is gated or private") && told.contains("set HF_TOKEN"),
        "{told}"
    );
    let told = inspect(home.path(), &endpoint, "hf://org/gated", &[("HF_TOKEN", "hf_wrong")]);
    assert!(told.contains("the token is not valid") && !told.contains("hf_wrong"), "{told}");
    let told = inspect(home.path(), &endpoint, "hf://org/refused", &[("HF_TOKEN", "hf_secret")]);
    assert!(told.contains("the hub answers 403: this account has no access to org/refused"), "{told}");
    let told = inspect(home.path(), &endpoint, "hf://org/gated", &[("HF_TOKEN", "hf_secret")]);
    assert!(told.starts_with("exit code 0\n") && !told.contains("hf_secret"), "{told}");
    // As `hf auth login` leaves it.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("token"), "hf_secret\n").unwrap();
    assert!(inspect(other.path(), &endpoint, "hf://org/gated", &[]).starts_with("exit code 0\n"));
}

#[test]
fn offline_it_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    // Nobody listens at port 1.
    let told = inspect(home.path(), "http://127.0.0.1:1", "hf://org/name", &[]);
    assert!(told.contains("hf://org/name: it is not in the cache of the hub on this machine"), "{told}");
    assert!(told.contains("http://127.0.0.1:1 can't be reached") && told.contains("`hf download org/name`"), "{told}");
    let told = inspect(home.path(), "http://127.0.0.1:1", "org/name", &[]);
    assert!(told.contains("org/name: there is no such path, and as a model of the hub: it is not in the cache"), "{told}");
    let told = inspect(home.path(), "http://127.0.0.1:1", "hf://org/name", &[("HF_HUB_OFFLINE", "1")]);
    assert!(told.contains("HF_HUB_OFFLINE forbids to fetch it"), "{told}");
}
