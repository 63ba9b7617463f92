#!/usr/bin/env bash
# Looks at a run's page in headless Chromium: no error on its console, no request to anywhere, three widths, light and dark, tables that sort, charts that
# say their values, and what axe-core finds wrong for people who see or move otherwise.
#
#   tools/test_page.sh                              of a small run that it makes
#   tools/test_page.sh REPORT.html [SCREENSHOTS]    of that page, with a picture of each width
#
# Where Chromium, Node.js or npm cannot be had it says so, and ends well.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup.sh

skip() {
    say "$*: the page is not looked at"
    exit 0
}

browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

may_install() {
    [ "$(os ID)" = debian ] && [ "$(id -u)" -eq 0 ]
}

if ! browser >/dev/null; then
    may_install && (apt_install "the page is looked at in a browser" chromium) || skip "Chromium cannot be had"
fi
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    may_install && (apt_install "Chromium is driven from Node.js" nodejs npm) || skip "Node.js and npm cannot be had"
fi
modules=$PWD/target/page
if [ ! -d "$modules/node_modules/axe-core" ] || [ ! -d "$modules/node_modules/playwright-core" ]; then
    mkdir -p "$modules"
    npm install --silent --no-audit --no-fund --prefix "$modules" playwright-core@1 axe-core@4 >&2 || skip "playwright-core and axe-core cannot be had"
fi

report=${1:-}
if [ -z "$report" ]; then
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    # The statuses of thresholds do not matter here.
    cargo run --quiet -- script full_paper.rhai --set output="$made" --set block_size=64 --set num_batches=4 --set prompt_lengths=[16,32] \
        --set generation_lengths=[4] --set sequence_lengths=[32,64] --set timed_runs=3 --set budget_s=5 --set warmup_runs=0 >"$made/told" 2>&1 || [ $? -eq 3 ] || { cat "$made/told" >&2; exit 1; }
    report=$(find "$made" -name report.html)
fi
node tools/test_page.mjs "$(browser)" "$modules/node_modules" "$report" "${2:-}"
