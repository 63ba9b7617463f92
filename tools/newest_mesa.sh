#!/usr/bin/env bash
# Runs a command with the newest Mesa that Debian has: its software driver can do what older ones can't, such as cooperative matrices (from 26 on).
#
#   tools/newest_mesa.sh COMMAND [ARGUMENT...]
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=tools/newest_mesa.sh cargo test --test kernels matrices
#
# The second form builds the tests here and runs them there. Only a root of its own changes: target/newest-mesa (500 MB, made in a minute), a small Debian sid
# in which the checkout is where it is outside. Delete it to have it made anew. It needs Debian, root, debootstrap, and a machine that lets root mount.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
. "$checkout/tools/setup.sh"
root=$checkout/target/newest-mesa

say() {
    printf 'newest_mesa: %s\n' "$*" >&2
}

# Makes the root. What was half made is removed, by Ctrl-C too; only a whole one gets its name.
make_root() {
    local part=$root.part log=$root.log archive mirror key signatures
    command -v debootstrap >/dev/null || give_up "debootstrap isn't there: apt-get install debootstrap"
    archive=$(source_of "$(os VERSION_CODENAME)|stable|testing|unstable|sid")
    mirror=$(mirror_of "$(printf '%s' "$archive" | cut -f 1)")
    key=$(printf '%s' "$archive" | cut -f 3)
    key=${key:-$DEBIAN_KEYS}
    [ -n "$mirror" ] || give_up "apt's sources have no mirror of Debian's archive"
    case $mirror in
        # debootstrap would try for very long.
        http*) wget --quiet --spider --tries=1 --timeout=20 "$mirror/dists/sid/InRelease" || give_up "$mirror doesn't answer, or has no sid" ;;
    esac
    if [ -r "$key" ]; then
        signatures=--keyring=$key
    else
        say "WARNING: the archive's signatures can't be checked: $key isn't there (apt-get install debian-archive-keyring)"
        signatures=--no-check-gpg
    fi
    say "making $root from $mirror (once; a minute)"
    trap 'rm -rf "$part"' EXIT
    trap 'exit 130' INT TERM
    rm -rf "$part"
    # What it mounts is gone with its process, however that ends.
    unshare --mount debootstrap --variant=minbase "$signatures" --include=mesa-vulkan-drivers,libvulkan1,libegl1,libgl1-mesa-dri \
        sid "$part" "$mirror" >"$log" 2>&1 || give_up "debootstrap failed: $(grep -E '^[EW]:' "$log" | tail -n 1) (all it said is in $log)"
    rm -rf "$part"/var/cache/apt/archives "$part"/var/lib/apt/lists
    mv "$part" "$root"
    trap - EXIT INT TERM
}

[ $# -gt 0 ] || give_up "usage: tools/newest_mesa.sh COMMAND [ARGUMENT...]"
[ "$(os ID)" = debian ] || give_up "this needs Debian, whose mirrors have the newest Mesa"
[ "$(id -u)" -eq 0 ] || give_up "this needs root, for a root of its own: sudo tools/newest_mesa.sh ..."
unshare --mount true 2>/dev/null || give_up "this needs to mount, and may not: a container has to be started with that right"
mkdir -p "$checkout/target"
(
    # Two at once make one.
    flock 9
    [ -d "$root" ] || make_root
) 9>"$root.lock"

driver=$(cd "$root" && printf '/%s\n' usr/share/vulkan/icd.d/lvp_icd*.json | head -n 1)
case $PWD/ in
    "$checkout"/*) folder=$PWD ;;
    *) folder=$checkout ;;
esac
export NEWEST_ROOT=$root NEWEST_SHARED=$checkout${CARGO_TARGET_DIR:+:$(realpath "$CARGO_TARGET_DIR")}
# Tests run programs by cargo's runner too: there it is this script, which they are in already.
for variable in "${!CARGO_TARGET_@}"; do
    case $variable in *_RUNNER) unset "$variable" ;; esac
done
# In a mount namespace of its own: nothing has to be unmounted, and whoever deletes target/ meanwhile deletes nothing else.
# shellcheck disable=SC2016
exec unshare --mount bash -euc '
    IFS=:
    for shared in /dev /proc $NEWEST_SHARED; do
        mkdir -p "$NEWEST_ROOT$shared"
        mount --rbind "$shared" "$NEWEST_ROOT$shared"
    done
    exec chroot "$@"
' _ "$root" env --chdir="$folder" -u LD_LIBRARY_PATH -u TMPDIR -u VK_ICD_FILENAMES -u XDG_CACHE_HOME -u XDG_RUNTIME_DIR -u NEWEST_ROOT -u NEWEST_SHARED \
    HOME=/root PATH=/usr/sbin:/usr/bin VK_DRIVER_FILES="$driver" "$@"
