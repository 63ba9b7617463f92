#!/usr/bin/env bash
# Tests tools/setup.sh on made-up machines: nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export APT=$work/apt OS_RELEASE=$work/os-release DRIVERS=$work/driver.json
. tools/setup.sh

failures=0
check() { # WHAT FOUND EXPECTED
    if [ "$2" != "$3" ]; then
        printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$1" "$3" "$2" >&2
        failures=$((failures + 1))
    fi
}

fresh() {
    rm -rf "$APT"
    mkdir -p "$APT/sources.list.d"
    UPDATED=
}

# --- where bookworm-backports comes from -----------------------------------------------------------------------------------------

mirror() {
    backports_source | awk '/^URIs:/ { uri = $2 } /^Signed-By:/ { key = $2 } END { print uri, key }'
}
DEFAULT_KEY=/usr/share/keyrings/debian-archive-keyring.gpg

fresh
check "no source at all" "$(mirror)" "http://deb.debian.org/debian $DEFAULT_KEY"

fresh
cat > "$APT/sources.list" <<'LIST'
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
deb   http://one.example/debian   bookworm   main contrib
LIST
check "one-line form" "$(mirror)" "http://one.example/debian $DEFAULT_KEY"
check "no backports in one-line form" "$(has_backports && echo yes || echo no)" no

fresh
echo 'deb [arch=amd64 signed-by=/keys/mine.gpg] mirror+file:/etc/apt/mirrors.list bookworm main # ours' > "$APT/sources.list.d/a.list"
check "options of the one-line form" "$(mirror)" "mirror+file:/etc/apt/mirrors.list /keys/mine.gpg"

fresh
cat > "$APT/sources.list.d/debian.sources" <<'SOURCES'
Types: deb-src
URIs: http://source.example/debian
Suites: bookworm

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm

# http://commented.example/debian
Types: deb deb-src
URIs: http://two.example/debian http://three.example/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /keys/debian.gpg
SOURCES
check "deb822 form" "$(mirror)" "http://two.example/debian /keys/debian.gpg"
check "no backports in deb822 form" "$(has_backports && echo yes || echo no)" no

fresh
cat > "$APT/sources.list.d/debian.sources" <<'SOURCES'
Types: deb
URIs: http://two.example/debian
Suites: bookworm
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
SOURCES
check "a key in the file" "$(mirror)" "http://two.example/debian $DEFAULT_KEY"

fresh
printf 'Types: deb\nURIs: http://x.example/debian\nSuites: bookworm bookworm-backports\n' > "$APT/sources.list.d/a.sources"
check "backports in deb822 form" "$(has_backports && echo yes || echo no)" yes
fresh
echo 'deb http://x.example/debian bookworm-backports main' > "$APT/sources.list"
check "backports in one-line form" "$(has_backports && echo yes || echo no)" yes
fresh
echo 'deb http://x.example/debian bookworm-backports-sloppy main' > "$APT/sources.list"
check "another suite" "$(has_backports && echo yes || echo no)" no

fresh
printf '# ours\nftp://zero.example/debian\nhttps://one.example/debian priority:1\nhttps://two.example/debian\n' > "$work/mirrors.list"
cat > "$APT/sources.list" <<'LIST'
deb http://tools.example/apt stable-tools main
deb http://x.example/debian bookworm-backports main
deb [signed-by=/keys/mine.gpg] http://y.example/debian bookworm main
LIST
check "the source of a suite" "$(source_of "bookworm|stable")" "$(printf 'http://y.example/debian\tbookworm\t/keys/mine.gpg')"
check "no source of a suite" "$(source_of sid)" ""
check "a mirror" "$(mirror_of http://y.example/debian)" "http://y.example/debian"
check "a list of mirrors" "$(mirror_of "mirror+file:$work/mirrors.list")" "https://one.example/debian"

# --- what a machine has ----------------------------------------------------------------------------------------------------------

GPU='0  NVIDIA H100, vulkan  <- used
  type        discrete gpu
  driver      NVIDIA 570.1'
SLOW='0  llvmpipe (LLVM 15.0.6, 256 bits), vulkan  <- used
  type        software, on the CPU
  driver      llvmpipe Mesa 22.3.6 (LLVM 15.0.6)'
FAST='0  llvmpipe (LLVM 19.1.7, 256 bits), vulkan  <- used
  type        software, on the CPU
  driver      llvmpipe Mesa 25.0.7'
check "a GPU" "$(echo "$GPU" | adapters)" hardware
check "slow software" "$(echo "$SLOW" | adapters)" "software 22"
check "a GPU beside software" "$(printf '%s\n%s\n' "$SLOW" "$GPU" | adapters)" hardware
check "nothing" "$(: | adapters)" none
check "unknown software" "$(printf '0  SwiftShader, vulkan\n  type  software, on the CPU\n  driver  5.0\n' | adapters)" "software 0"

# --- what is done about it -------------------------------------------------------------------------------------------------------

# From here on root only notes what it is asked for.
as_root() {
    case $1 in
        tee) cat > "$2"; echo "add ${2#"$APT/"}" >> "$work/log" ;;
        rm) rm -f "$3"; echo "remove ${3#"$APT/"}" >> "$work/log" ;;
        *) local asked=$*
           echo "${asked/env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends/install}" >> "$work/log"
           case "$*" in *"${BROKEN:-nothing is}"*) return 1 ;; esac ;;
    esac
}
uname() { echo Linux; }
say() { :; }
apt-get() { :; }
devices() { printf '%s\n' "$DEVICES"; [ -n "$DEVICES" ]; }
done_for() { # ID VERSION DEVICES
    fresh
    : > "$work/log"
    printf 'ID=%s\nVERSION_ID="%s"\n' "$1" "$2" > "$OS_RELEASE"
    DEVICES=$3
    need_adapter devices
    tr '\n' ';' < "$work/log"
}
BACKPORTS='apt-get update --quiet;install --target-release bookworm-backports mesa-vulkan-drivers libvulkan1;'
ADDED='add sources.list.d/caramba-backports.sources;'
check "Debian 12 with a GPU" "$(done_for debian 12 "$GPU")" ""
check "Debian 12 with a new Mesa" "$(done_for debian 12 "$FAST")" ""
check "Debian 12 with an old Mesa" "$(done_for debian 12 "$SLOW")" "$ADDED$BACKPORTS"
check "Debian 12 with nothing" "$(done_for debian 12 "")" "$ADDED$BACKPORTS"
check "Debian 13 with nothing" "$(done_for debian 13 "")" "apt-get update --quiet;install mesa-vulkan-drivers libvulkan1;"
check "Ubuntu with nothing" "$(done_for ubuntu 24.04 "")" "apt-get update --quiet;install mesa-vulkan-drivers libvulkan1;"
check "Ubuntu with an old Mesa" "$(done_for ubuntu 22.04 "$SLOW")" ""
ldconfig() { :; }
touch "$DRIVERS"
check "a driver without a loader" "$(done_for ubuntu 24.04 "")" "apt-get update --quiet;install libvulkan1;install mesa-vulkan-drivers libvulkan1;"
rm "$DRIVERS"
BROKEN=bookworm-backports
check "a mirror without backports" "$(done_for debian 12 "")" \
    "$ADDED${BACKPORTS}remove sources.list.d/caramba-backports.sources;apt-get update --quiet;install mesa-vulkan-drivers libvulkan1;"
check "a mirror without backports, and an old Mesa" "$(done_for debian 12 "$SLOW")" "$ADDED${BACKPORTS}remove sources.list.d/caramba-backports.sources;"

[ $failures -eq 0 ] || { echo "$failures checks of tools/setup.sh failed" >&2; exit 1; }
echo "tools/setup.sh: all checks passed"
