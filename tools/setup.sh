# shellcheck shell=bash
# Sourced by ./demo and ./test: installs what they need and this machine lacks, and says what and why. What is there stays as it is.
#
#   need_toolchain        cargo, and a linker
#   need_adapter COMMAND  a Vulkan adapter, as COMMAND ("cargo run --release --") sees it; nothing on macOS, where Metal is
#   need_python           python3 with pip
#   need_components       cargo fmt and cargo clippy
#
# tools/newest_mesa.sh finds a mirror with it. Tested by tools/test_setup.sh, which has made-up files for the three that follow.

APT=${APT:-/etc/apt}
OS_RELEASE=${OS_RELEASE:-/etc/os-release}
DRIVERS=${DRIVERS:-/usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json}
# Mesa's software driver got its fast code generator with 24; 22, which Debian 12 has, is ten times slower.
LEAST_MESA=24
DEBIAN_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

say() {
    printf 'setup: %s\n' "$*" >&2
}

give_up() {
    say "$*"
    exit 1
}

on_macos() {
    [ "$(uname -s)" = Darwin ]
}

# A value of os-release: `os ID`, `os VERSION_ID`.
os() {
    [ -r "$OS_RELEASE" ] || return 0
    (
        # shellcheck disable=SC1090
        . "$OS_RELEASE"
        eval "printf '%s' \"\${$1:-}\""
    )
}

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        give_up "this needs root, and there is no sudo. Run it as root, then start again: $*"
    fi
}

# Installs packages of Debian or Ubuntu: apt_install WHY [OPTION...] PACKAGE...
apt_install() {
    local why=$1
    shift
    say "$why: apt-get install $*"
    apt_updated || apt_update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@" >&2
}

# Whether the lists of packages are there: a fresh container has none.
apt_updated() {
    [ -n "${UPDATED:-}" ]
}

apt_update() {
    as_root apt-get update --quiet >&2 || return
    UPDATED=yes
}

need_toolchain() {
    # An installer of Rust adds it to the next login's path.
    if ! command -v cargo >/dev/null && [ -r "$HOME/.cargo/env" ]; then
        # shellcheck disable=SC1091
        . "$HOME/.cargo/env"
    fi
    command -v cargo >/dev/null || give_up "cargo isn't there: install Rust (https://rustup.rs), then start again"
    command -v cc >/dev/null && return
    if on_macos; then
        give_up "the linker isn't there: run xcode-select --install, then start again"
    elif command -v apt-get >/dev/null; then
        apt_install "Rust needs a linker" gcc libc6-dev
    else
        give_up "the linker isn't there: install gcc (or clang), then start again"
    fi
}

# rustfmt and clippy, which a minimal installation of Rust lacks.
need_components() {
    local component
    for component in fmt clippy; do
        cargo $component --version >/dev/null 2>&1 && continue
        command -v rustup >/dev/null || give_up "cargo $component isn't there: install it with Rust's other tools, then start again"
        say "cargo $component isn't there: adding it"
        rustup component add "$([ $component = fmt ] && echo rustfmt || echo clippy)" >&2
    done
}

need_python() {
    python3 -m pip --version >/dev/null 2>&1 && return
    if on_macos; then
        give_up "python3 with pip isn't there: run xcode-select --install, then start again"
    elif command -v apt-get >/dev/null; then
        apt_install "the tests' model comes from a Python package" python3 python3-pip
    else
        give_up "python3 with pip isn't there: install it, then start again"
    fi
}

# What is known of this machine's Vulkan adapters, from the output of `caramba devices --backend vulkan`:
# `hardware`, `software MAJOR` (of its Mesa; 0 if it says none), or `none`.
adapters() {
    awk '
        /^[0-9]+  / { found++; software = 0 }
        /^  +type +software/ { software = 1; softwares++ }
        /^  +driver / && software {
            version = 0
            if (match($0, /Mesa [0-9]+/)) version = substr($0, RSTART + 5, RLENGTH - 5) + 0
            if (version > newest) newest = version
        }
        END {
            if (!found) print "none"
            else if (found > softwares) print "hardware"
            else print "software", newest + 0
        }
    '
}

# Of COMMAND's words one is the program, the others its arguments. No adapter is an error to it, and news to us.
adapter_state() {
    # shellcheck disable=SC2086
    $1 devices --backend vulkan 2>/dev/null | adapters || true
}

# Whether some driver is there that only lacks what programs load it with, as in a container with an NVIDIA GPU.
lacks_loader() {
    local driver
    for driver in $DRIVERS; do
        if [ -r "$driver" ]; then
            ! ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'
            return
        fi
    done
    return 1
}

need_adapter() {
    # Metal is part of macOS, and Windows' drivers come with Windows.
    [ "$(uname -s)" = Linux ] || return 0
    local state
    state=$(adapter_state "$1")
    if [ "$state" = none ] && lacks_loader && command -v apt-get >/dev/null; then
        apt_install "a Vulkan driver is there, but not its loader" libvulkan1
        state=$(adapter_state "$1")
    fi
    case $state in
        hardware) return ;;
        "software "*)
            [ "${state#software }" -ge $LEAST_MESA ] && return
            # Some other software driver, or a version that does not tell: nothing to improve on.
            [ "${state#software }" -eq 0 ] && return
            if on_debian_12; then
                say "there is no GPU, and Mesa ${state#software } is ten times slower on the CPU than Mesa $LEAST_MESA"
                install_from_backports || say "going on with the slow one"
            else
                say "Mesa ${state#software } is slow on the CPU: a newer one ($LEAST_MESA or later) is ten times faster"
            fi
            return
            ;;
    esac
    if on_debian_12; then
        say "no Vulkan adapter is there"
        install_from_backports || apt_install "no newer one can be had, Debian's own is slow but works" mesa-vulkan-drivers libvulkan1
    elif command -v apt-get >/dev/null; then
        apt_install "no Vulkan adapter is there" mesa-vulkan-drivers libvulkan1
    else
        say "no Vulkan adapter is there: install the driver of your GPU, or Mesa's (mesa-vulkan-drivers on Fedora, vulkan-swrast on Arch)"
    fi
}

on_debian_12() {
    [ "$(os ID)" = debian ] && [ "$(os VERSION_ID)" = 12 ] && command -v apt-get >/dev/null
}

install_from_backports() {
    local added=
    if ! has_backports; then
        added=$APT/sources.list.d/caramba-backports.sources
        say "Debian 12 has Mesa 22, bookworm-backports a newer one: adding $added"
        backports_source | as_root tee "$added" >/dev/null
    fi
    if apt_update && apt_install "a Vulkan driver that computes on the CPU" --target-release bookworm-backports mesa-vulkan-drivers libvulkan1; then
        return
    fi
    # A source that does not work would get in the way of every later apt-get update.
    if [ -n "$added" ]; then
        say "bookworm-backports could not be used: removing $added"
        as_root rm -f "$added"
    fi
    UPDATED=
    return 1
}

# What apt's sources are, in files of both forms; see stanzas.
sources() {
    local list
    for list in "$APT/sources.list" "$APT"/sources.list.d/*.list "$APT"/sources.list.d/*.sources; do
        if [ -r "$list" ]; then stanzas "$list"; fi
    done
}

has_backports() {
    sources | awk -F '\t' '$2 ~ /(^| )bookworm-backports( |$)/ { found = 1 } END { exit !found }'
}

# The first source that has one of these suites (a|b|c), as `stanzas` has it.
source_of() {
    sources | awk -F '\t' -v suites="(^| )($1)( |$)" '$2 ~ suites && !found { found = $0 } END { print found }'
}

# The mirror that an address of apt's means: the first of a list of mirrors in a file.
mirror_of() {
    case $1 in
        mirror+file:*) awk '/^https?:/ { print $1; exit }' "${1#mirror+file:}" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# bookworm-backports from the mirror, and with the key, that bookworm itself comes with on this machine.
backports_source() {
    local found uri key
    found=$(source_of "bookworm|stable")
    uri=$(printf '%s' "$found" | cut -f 1)
    key=$(printf '%s' "$found" | cut -f 3)
    echo "# Added by caramba's tools/setup.sh for Mesa's software Vulkan driver. It may be removed."
    echo "Types: deb"
    echo "URIs: ${uri:-http://deb.debian.org/debian}"
    echo "Suites: bookworm-backports"
    echo "Components: main"
    echo "Signed-By: ${key:-$DEBIAN_KEYS}"
}

# The sources of binary packages in a file, one a line: address, suites and key file, with tabs between.
stanzas() {
    case $1 in
        *.list)
            # deb [signed-by=KEY arch=...] URI SUITE COMPONENT...
            awk '
                $1 != "deb" { next }
                {
                    line = $0; key = ""
                    sub(/#.*/, "", line)
                    if (match(line, /\[[^]]*\]/)) {
                        options = substr(line, RSTART + 1, RLENGTH - 2)
                        line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
                        count = split(options, option, /[ ,]+/)
                        for (i = 1; i <= count; i++) if (option[i] ~ /^signed-by=/) key = substr(option[i], 11)
                    }
                    split(line, field, /[ \t]+/)
                    print field[2] "\t" field[3] "\t" key
                }
            ' "$1"
            ;;
        *.sources)
            # Stanzas of fields, parted by empty lines; a line that begins with a space goes on with the field before.
            awk '
                function flush() {
                    if (types ~ /(^| )deb( |$)/ && tolower(enabled) != "no") {
                        split(uris, uri, /[ \t]+/)
                        print uri[1] "\t" suites "\t" key
                    }
                    types = uris = suites = key = enabled = name = ""
                }
                /^#/ { next }
                /^[ \t]*$/ { flush(); next }
                /^[ \t]/ { value = $0; sub(/^[ \t]+/, "", value); more = 1 }
                /^[^ \t]/ {
                    name = tolower(substr($0, 1, index($0, ":") - 1))
                    value = substr($0, index($0, ":") + 1)
                    sub(/^[ \t]+/, "", value); more = 0
                }
                { sub(/[ \t]+$/, "", value) }
                name == "types" { types = types " " value }
                name == "uris" { uris = uris == "" ? value : uris " " value }
                name == "suites" { suites = suites == "" ? value : suites " " value }
                name == "enabled" { enabled = value }
                # A key that stands in the file itself is not taken over.
                name == "signed-by" && !more && value ~ /^\// { key = value }
                END { flush() }
            ' "$1"
            ;;
    esac
}
