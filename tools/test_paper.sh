#!/usr/bin/env bash
# A two-column paper of each class that is there (IEEEtran, acmart) takes a run's tables and figures as they are: tools/test_paper.sh RUN [DIR]
# Any overfull box is an error. The papers are left in DIR. On Debian IEEEtran and acmart are in texlive-publishers; acmart needs texlive-latex-extra besides, and
# has its own fonts (texlive-fonts-extra, 500 MB) where they are there: without them it takes Computer Modern, which is as wide or wider.
set -euo pipefail
run=$(cd "${1:?the directory of a run}" && pwd)
dir=${2:-$(mktemp -d)}
mkdir -p "$dir"
if ! command -v pdflatex >/dev/null; then
    echo "there is no pdflatex: the tables and figures are not tried in a paper"
    exit 0
fi

# Figures of a column, and those of the page, as they are: nothing is scaled.
figures() {
    local pdf width
    for pdf in "$run"/*.pdf; do
        width=$(sed -n 's/.*width="\([0-9.]*\)in".*/\1/p' "${pdf%.pdf}.svg" | head -n 1)
        if awk "BEGIN { exit !(${width:-0} > 3.4) }"; then star='*'; else star=; fi
        printf '\\begin{figure%s}[t]\\centering\\includegraphics{%s}\\caption{%s.}\\end{figure%s}\n' "$star" "$pdf" "$(basename "$pdf" .pdf | tr _ ' ')" "$star"
    done
}

paper() {
    local class=$1 options=$2 name=$3
    local needed
    for needed in "$class.cls" "${@:4}"; do
        kpsewhich "$needed" >/dev/null && continue
        echo "$class is not tried: $needed is not there"
        return
    done
    {
        printf '\\documentclass[%s]{%s}\n\\usepackage{booktabs,graphicx}\n\\extrafloats{100}\n\\begin{document}\n' "$options" "$class"
        printf '\\title{Evidence}\n'
        # acmart takes its authors before the title is made.
        [ "$class" = acmart ] && printf '\\author{A. Author}\\affiliation{\\institution{I}\\city{C}\\country{X}}\n\\settopmatter{printacmref=false}\n' || printf '\\author{A. Author}\n'
        printf '\\maketitle\nTables and figures of a run.\n\\input{%s/tables.tex}\n' "$run"
        figures
        printf '\\end{document}\n'
    } >"$dir/$name.tex"
    if ! (cd "$dir" && pdflatex -interaction=nonstopmode -halt-on-error "$name.tex" >"$name.told" 2>&1); then
        tail -n 30 "$dir/$name.told"
        exit 1
    fi
    # A long line of a log is broken.
    if grep -A 2 '^Overfull' "$dir/$name.log"; then
        echo "$dir/$name.tex has overfull boxes"
        exit 1
    fi
    echo "$dir/$name.pdf: no overfull box"
}

paper IEEEtran conference ieee
paper acmart sigconf,nonacm acm xstring.sty hyperxmp.sty
