#!/usr/bin/env bash
# Puts the figures of a demo's run into the README, with what its checklist says and what it was measured on: all of one run, none by hand.
#
#   tools/readme_figures.sh                  of a run of ./demo that it makes
#   tools/readme_figures.sh artifacts/RUN    of that one
#
# Figures go to docs/demo/; the README's part between `<!-- demo -->` and `<!-- /demo -->` is written anew.
set -euo pipefail
cd "$(dirname "$0")/.."

run=${1:-}
if [ -z "$run" ]; then
    # Status 3: something does not pass, which the README says like anything else.
    ./demo || [ $? -eq 3 ]
    run=$(find artifacts -mindepth 1 -maxdepth 1 -type d -name 'full_paper_*' ! -name '*.partial' | sort | tail -n 1)
fi
[ -f "$run/report.json" ] || { echo "$run is no directory of a run that was finished: it has no report.json" >&2; exit 1; }

mkdir -p docs/demo
part=$(mktemp)
trap 'rm -f "$part"' EXIT
printf '<!-- demo -->\n' >"$part"
while IFS='|' read -r figure alt; do
    # A browser shows the SVG sharp at any size, its glyphs in it.
    [ -f "$run/$figure.svg" ] || continue
    cp "$run/$figure.svg" "docs/demo/$figure.svg"
    printf '![%s](docs/demo/%s.svg)\n\n' "$alt" "$figure" >>"$part"
done <<'FIGURES'
summary|Perplexity, throughput and cache of the bundled teacher and its student, with the paired ratios beside them
latency_vs_context|Throughput over the length of the prompt, for each kind of cache
memory_scaling|KV cache over sequence length, for each kind of cache
FIGURES

${CARAMBA:-cargo run --release --quiet --} -e '
let report = read_json(`${args.rest[0]}/report.json`);
let device = report.metadata.get("device");
print("What `./demo` leaves" + (if device == () { "" } else { `, here on ${device.name}` }) + (if report.checklist.is_empty() { "." } else { ":" }));
print("");
for item in report.checklist {
    let outcome = if item.passed == true { "passed" } else if item.passed == false { "failed" } else { "not known" };
    let of = if (item.get("model") ?? "") == "" { "" } else { `${item.model}: ` };
    print(`- ${outcome}: ${of}${item.check}${if item.get("value") == () { "" } else if item.get("ratio") == true { ` (${ratio_text(item.value)})` } else { ` (${digits(item.value, 3)})` }}`);
}
' -- "$run" >>"$part"
printf '<!-- /demo -->\n' >>"$part"
awk -v part="$part" '
    /^<!-- demo -->/ { while ((getline line < part) > 0) print line; inside = 1 }
    !inside { print }
    /^<!-- \/demo -->/ { inside = 0 }
' README.md >README.md.new
mv README.md.new README.md
echo "README.md shows the run $run"
