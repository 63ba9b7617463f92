//! A page for a person: one HTML file with everything in it, charts as SVG, tables that can be sorted. It asks nothing of any server, reads
//! on a phone and on paper, in light and dark, with a keyboard and with a screen reader.
//!
//! What it says is given by the caller; nothing here knows what was measured.

use super::chart::escape;
use super::table::{Align, Cell, Column, Shown, Table, Value};
use super::{font, number, read};
use crate::error::{At, Error, Result};
use base64::Engine;
use resvg::usvg::roxmltree;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Component, Path};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The file may load nothing and send nothing, whatever is in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; font-src data:; img-src data:";

/// A chart whose width is this many times its height is too wide for a phone: it is scrolled there rather than shrunk.
const WIDE: f64 = 2.2;

/// A page.
///
/// # Example
/// ```
/// let page: caramba::artifact::html::Page = serde_json::from_str(r#"{
///     "title": "A student and its teacher",
///     "lead": "The student needs a fifth of the memory.",
///     "sections": [
///         { "kind": "list", "title": "Checklist", "items": [{ "text": "loss within 5 %", "passed": true }, { "text": "faster", "passed": false }] },
///         { "kind": "table", "table": { "columns": ["Metric", "Change"], "rows": [["Loss", 1.06]] } },
///         { "kind": "details", "title": "How to reproduce it", "sections": [{ "kind": "code", "text": "caramba run paper.yml" }] }
///     ]
/// }"#).unwrap();
/// let html = page.html(std::path::Path::new(".")).unwrap();
/// assert!(html.starts_with("<!doctype html>") && html.contains("loss within 5 %"));
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    pub title: String,
    /// The headline, in a sentence or a few: what was found.
    #[serde(default)]
    pub lead: String,
    #[serde(deserialize_with = "read::sections")]
    pub sections: Vec<Section>,
    /// Small, at the end.
    #[serde(default)]
    pub footer: String,
}

/// A part of a page. Each may have a title.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Section {
    /// Paragraphs, with an empty line between them.
    Text {
        #[serde(default)]
        title: String,
        text: String,
    },
    /// Text as it is, in letters of one width: a command.
    Code {
        #[serde(default)]
        title: String,
        text: String,
    },
    /// A table that can be sorted.
    Table {
        #[serde(default)]
        title: String,
        table: Table,
    },
    /// An SVG file of the run directory.
    Chart {
        #[serde(default)]
        title: String,
        file: String,
        #[serde(default)]
        caption: String,
        /// What it shows, for who cannot see it; unsaid: what the file says of itself.
        #[serde(default)]
        alt: String,
    },
    List {
        #[serde(default)]
        title: String,
        #[serde(deserialize_with = "read::items")]
        items: Vec<Item>,
    },
    /// Sections that are folded in at first.
    Details {
        title: String,
        #[serde(deserialize_with = "read::sections")]
        sections: Vec<Section>,
    },
}

/// One item of a list: text, or a map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    pub text: String,
    /// A file of the run directory that the text leads to.
    pub file: Option<String>,
    /// Of a checklist: whether it passed; `Some(None)` where that is not known.
    pub passed: Option<Option<bool>>,
}

impl Page {
    /// The file, with charts read from `directory`.
    ///
    /// # Errors
    /// A chart that is missing, is no SVG, or would run a script; a table without columns; a link out of the directory.
    pub fn html(&self, directory: &Path) -> Result<String> {
        let mut writer = Writer { directory, body: String::new(), characters: BTreeSet::new() };
        for (index, section) in self.sections.iter().enumerate() {
            writer.section(section, 2, Some(index)).map_err(|error| error.at(format!("sections[{index}]")))?;
        }
        let Writer { body, characters, .. } = writer;
        let face = if characters.is_empty() {
            String::new()
        } else {
            let glyphs = base64::engine::general_purpose::STANDARD.encode(font::subset(characters.into_iter())?);
            format!("@font-face {{ font-family: '{}'; src: url(data:font/ttf;base64,{glyphs}); }}\n", font::FAMILY)
        };
        let title = escape(&self.title);
        let lead = paragraphs(&self.lead, " class=\"lead\"");
        let footer =
            if self.footer.trim().is_empty() { String::new() } else { format!("<footer>{}</footer>\n", paragraphs(&self.footer, "")) };
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n{face}{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#content\">Skip to the content</a>\n\
             <header>\n<h1>{title}</h1>\n{lead}</header>\n{}<main id=\"content\">\n{body}</main>\n{footer}<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            self.contents()
        ))
    }

    /// Writes the file into `directory`, whose charts it shows.
    ///
    /// # Errors
    /// As [`Page::html`], and those of [`super::write_atomically`].
    pub fn write(&self, directory: &Path, name: &str) -> Result<()> {
        super::write_atomically(&directory.join(name), self.html(directory).at(name)?.as_bytes())
    }

    /// Links to the sections with a title, where there are several.
    fn contents(&self) -> String {
        let titled: Vec<(usize, &str)> =
            self.sections.iter().map(Section::title).enumerate().filter(|(_, title)| !title.trim().is_empty()).collect();
        if titled.len() < 3 {
            return String::new();
        }
        let links: String =
            titled.iter().map(|(index, title)| format!("<li><a href=\"#section-{index}\">{}</a></li>\n", escape(title))).collect();
        format!("<nav aria-label=\"Contents\">\n<ul>\n{links}</ul>\n</nav>\n")
    }
}

impl Section {
    fn title(&self) -> &str {
        match self {
            Section::Text { title, .. }
            | Section::Code { title, .. }
            | Section::Table { title, .. }
            | Section::Chart { title, .. }
            | Section::List { title, .. }
            | Section::Details { title, .. } => title,
        }
    }
}

/// A page that is being written.
struct Writer<'a> {
    directory: &'a Path,
    body: String,
    /// Of the charts' text, which has a font of its own.
    characters: BTreeSet<char>,
}

impl Writer<'_> {
    /// A section with its title as a heading of a level; those that the contents lead to are numbered.
    fn section(&mut self, section: &Section, level: usize, number: Option<usize>) -> Result<()> {
        let id = number.map_or(String::new(), |number| format!(" id=\"section-{number}\""));
        let title = section.title().trim();
        let _ = writeln!(self.body, "<section{id}>");
        if !title.is_empty() && !matches!(section, Section::Details { .. }) {
            let level = level.min(6);
            let _ = writeln!(self.body, "<h{level}>{}</h{level}>", escape(title));
        }
        match section {
            Section::Text { text, .. } => self.body.push_str(&paragraphs(text, "")),
            Section::Code { text, .. } => {
                let _ = writeln!(self.body, "<pre tabindex=\"0\"><code>{}</code></pre>", lines(text.trim_end()));
            }
            Section::Table { table, .. } => self.table(table, title)?,
            Section::Chart { file, caption, alt, .. } => self.chart(file, caption, alt).at(file)?,
            Section::List { items, .. } => self.list(items)?,
            Section::Details { sections, .. } => {
                let _ = writeln!(self.body, "<details>\n<summary>{}</summary>", escape(title));
                for (index, section) in sections.iter().enumerate() {
                    self.section(section, level + 1, None).map_err(|error| error.at(format!("sections[{index}]")))?;
                }
                self.body.push_str("</details>\n");
            }
        }
        self.body.push_str("</section>\n");
        Ok(())
    }

    fn list(&mut self, items: &[Item]) -> Result<()> {
        let marked = items.iter().any(|item| item.passed.is_some());
        let _ = writeln!(self.body, "<ul{}>", if marked { " class=\"marks\"" } else { "" });
        for item in items {
            // Said in words: neither the colour nor the sign alone tells it.
            let mark = match item.passed {
                Some(Some(true)) => "<span class=\"mark pass\">\u{2713} passed</span>",
                Some(Some(false)) => "<span class=\"mark fail\">\u{2717} failed</span>",
                Some(None) => "<span class=\"mark unknown\">? not known</span>",
                None => "",
            };
            let text = escape(&item.text);
            let text = match &item.file {
                Some(file) => format!("<a href=\"{}\">{text}</a>", link(file)?),
                None => text,
            };
            let _ = writeln!(self.body, "<li>{mark}{text}</li>");
        }
        self.body.push_str("</ul>\n");
        Ok(())
    }

    fn table(&mut self, table: &Table, title: &str) -> Result<()> {
        table.check()?;
        let name = table.caption.as_deref().unwrap_or(title);
        let texts: Vec<Vec<String>> =
            table.rows.iter().map(|cells| cells.iter().zip(&table.columns).map(|(cell, column)| shown(cell, column)).collect()).collect();
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let narrow = Narrow::of(&names, &texts);
        let _ = writeln!(
            self.body,
            "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\n<table{}>",
            escape(if name.is_empty() { "Table" } else { name }),
            narrow.class(names.len())
        );
        if let Some(caption) = &table.caption {
            let _ = writeln!(self.body, "<caption>{}</caption>", escape(caption));
        }
        let class = |column: usize, text: &str, again: bool| {
            let align = match table.align(column) {
                Align::Left => "",
                Align::Center => "center",
                Align::Right => "right",
            };
            let names = [align, if is_long(text) { "long" } else { "" }, if again { "again" } else { "" }];
            let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
            if names.is_empty() { String::new() } else { format!(" class=\"{}\"", names.join(" ")) }
        };
        self.body.push_str("<thead>\n<tr>");
        for (index, column) in table.columns.iter().enumerate() {
            let _ = write!(
                self.body,
                "<th scope=\"col\"{}><button type=\"button\">{}</button></th>",
                class(index, &column.name, false),
                escape(&column.name)
            );
        }
        self.body.push_str("</tr>\n</thead>\n<tbody>\n");
        for (row, cells) in table.rows.iter().enumerate() {
            self.body.push_str(if row > 0 && table.groups.contains(&row) { "<tr class=\"group\">" } else { "<tr>" });
            for (index, (cell, column)) in cells.iter().zip(&table.columns).enumerate() {
                let plain = &texts[row][index];
                // What stands above already need not be read again where rows are parts of it.
                let again = index == 0 && row > 0 && texts[row - 1].first() == Some(plain);
                let text = if cell.bold { format!("<strong>{}</strong>", escape(plain)) } else { escape(plain) };
                let label =
                    if narrow == Narrow::Cards && index > 0 { format!(" data-label=\"{}\"", escape(&column.name)) } else { String::new() };
                let _ = write!(self.body, "<td{}{}{label}>{text}</td>", class(index, plain, again), value(cell));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody>\n</table>\n</div>\n");
        if let Some(note) = &table.note {
            let _ = writeln!(self.body, "<p class=\"note\">{}</p>", escape(note));
        }
        Ok(())
    }

    fn chart(&mut self, file: &str, caption: &str, alt: &str) -> Result<()> {
        link(file)?;
        let text = std::fs::read_to_string(self.directory.join(file)).map_err(|error| {
            Error::new(format!("cannot read the chart: {error}")).remedy("draw it before the page; `chart.png` also writes chart.svg")
        })?;
        let not_svg =
            |reason: String| Error::new(format!("this is no SVG that a page can show: {reason}")).remedy("name the `.svg` file of a chart");
        let document = roxmltree::Document::parse(&text).map_err(|error| not_svg(error.to_string()))?;
        let root = document.root_element();
        if root.tag_name().name() != "svg" {
            return Err(not_svg(format!("it is <{}>", root.tag_name().name())));
        }
        if let Some(active) = root.descendants().find(|node| {
            node.tag_name().name() == "script"
                || node.tag_name().name() == "foreignObject"
                || node.attributes().any(|attribute| attribute.name().starts_with("on"))
        }) {
            return Err(not_svg(format!("<{}> may run a script", active.tag_name().name())));
        }
        for node in root.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text"))) {
            self.characters.extend(node.descendants().filter_map(|node| node.text()).flat_map(str::chars));
        }
        let mut svg = text[root.range()].to_owned();
        // The page has the font once, for all charts.
        if let Some(style) = root
            .descendants()
            .find(|node| node.tag_name().name() == "style" && node.text().is_some_and(|text| text.starts_with("@font-face")))
        {
            let (start, end) = (style.range().start - root.range().start, style.range().end - root.range().start);
            svg.replace_range(start..end, "");
        }
        let label = root.attribute("aria-label").filter(|_| alt.trim().is_empty()).unwrap_or(alt);
        let label = if label.trim().is_empty() { caption } else { label };
        if root.attribute("aria-label") != Some(label) {
            let old = root.attribute("aria-label").map(|old| format!(" aria-label=\"{}\"", escape(old)));
            svg = match old.filter(|old| svg.contains(old.as_str())) {
                Some(old) => svg.replacen(&old, &format!(" aria-label=\"{}\"", escape(label)), 1),
                None => svg.replacen("<svg", &format!("<svg role=\"img\" aria-label=\"{}\"", escape(label)), 1),
            };
        }
        let size: Vec<f64> =
            root.attribute("viewBox").unwrap_or_default().split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let wide = matches!(size[..], [_, _, width, height] if width > WIDE * height);
        let inches = root.attribute("width").and_then(|width| width.strip_suffix("in")?.parse::<f64>().ok());
        // Twice its size in a paper is easy to read on a screen.
        let most = inches.map_or(String::new(), |inches| format!(" style=\"max-width:{:.1}rem\"", inches * 12.0));
        let _ = writeln!(
            self.body,
            "<figure>\n<div class=\"paper\" tabindex=\"0\" role=\"group\" aria-label=\"Chart: {}\"><div class=\"{}\"{most}>{svg}</div></div>",
            escape(if caption.trim().is_empty() { label } else { caption }),
            if wide { "wide" } else { "narrow" }
        );
        if !caption.trim().is_empty() {
            let _ = writeln!(self.body, "<figcaption>{}</figcaption>", escape(caption));
        }
        self.body.push_str("</figure>\n");
        Ok(())
    }
}

/// What becomes of a table on a phone, where it would be scrolled sideways.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Narrow {
    /// It fits.
    Plain,
    /// The first cell of a row stands above the others, once for rows that share it.
    Stack,
    /// A row is a list of its cells, each with its column's name.
    Cards,
}

impl Narrow {
    /// Letters in a line of a phone, between columns that need some room.
    const ROOM: usize = 38;
    const BETWEEN: usize = 2;
    /// Columns below a first cell.
    const BESIDE: usize = 3;

    fn of(columns: &[&str], rows: &[Vec<String>]) -> Narrow {
        let longest_word = |text: &str| text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
        // Names of columns and texts wrap between words; numbers with their intervals do so only below a first cell.
        let needed = |column: usize, wraps: bool| {
            let whole = |text: &str| !wraps && leading_number(text).is_some();
            let cells = rows
                .iter()
                .filter_map(|cells| cells.get(column))
                .map(|text| if whole(text) { text.chars().count() } else { longest_word(text) });
            Self::BETWEEN + cells.chain([longest_word(columns[column])]).max().unwrap_or(0)
        };
        let rest = |wraps: bool| (1..columns.len()).map(|column| needed(column, wraps)).sum::<usize>();
        if columns.is_empty() || needed(0, false) + rest(false) <= Self::ROOM {
            Narrow::Plain
        } else if columns.len() <= 1 + Self::BESIDE && rest(true) <= Self::ROOM {
            Narrow::Stack
        } else {
            Narrow::Cards
        }
    }

    fn class(self, columns: usize) -> String {
        match self {
            Narrow::Plain => String::new(),
            Narrow::Stack => format!(" class=\"stack\" style=\"--beside:{}\"", columns.saturating_sub(1).max(1)),
            Narrow::Cards => " class=\"cards\"".to_owned(),
        }
    }
}

/// A cell as a reader sees it.
fn shown(cell: &Cell, column: &Column) -> String {
    match cell.shown(column) {
        Shown::Text(text) if leading_number(&text).is_some() => minus(&number::times(&text)),
        Shown::Text(text) => text,
        Shown::Number(value) => minus(&value),
        Shown::PlusMinus(value, error) => format!("{} ± {}", minus(&value), minus(&error)),
        Shown::Interval(value, low, high) => format!("{} [{}, {}]", minus(&value), minus(&low), minus(&high)),
    }
}

/// Whether a text has a word that has to be broken rather than to make its column as wide: a hash, a path, a model's name.
fn is_long(text: &str) -> bool {
    const LONG: usize = 24;
    text.split_whitespace().any(|word| word.chars().count() > LONG)
}

/// A number to sort by, in full.
fn value(cell: &Cell) -> String {
    match &cell.value {
        Value::Integer(value) => format!(" data-value=\"{value}\""),
        Value::Float(value) if value.is_finite() => format!(" data-value=\"{value:?}\""),
        Value::Text(text) => match leading_number(text) {
            Some(value) => format!(" data-value=\"{value:?}\""),
            None => String::new(),
        },
        _ => String::new(),
    }
}

/// The number that a text such as `1.06x` or `-10.7 %` begins with.
fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim().replace('−', "-");
    let end = text.char_indices().find(|(_, c)| !(c.is_ascii_digit() || "+-.,".contains(*c))).map_or(text.len(), |(place, _)| place);
    let unit = &text[end..];
    let known = unit.is_empty() || [" ", "%", "x", "×"].iter().any(|known| unit.starts_with(known));
    text[..end].replace(',', "").parse().ok().filter(|_| known)
}

fn minus(number: &str) -> String {
    number.strip_prefix('-').map_or_else(|| number.to_owned(), |rest| format!("−{rest}"))
}

fn paragraphs(text: &str, attributes: &str) -> String {
    text.split("\n\n").map(str::trim).filter(|text| !text.is_empty()).map(|text| format!("<p{attributes}>{}</p>\n", lines(text))).collect()
}

/// Text whose lines stay lines.
fn lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// A file beside the page, as a link has it.
fn link(file: &str) -> Result<String> {
    let path = Path::new(file);
    if file.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(
            Error::new(format!("{file:?} is no file of the run directory")).remedy("name a file beside the page, without `..` or a root")
        );
    }
    let mut encoded = String::with_capacity(file.len());
    for byte in file.replace('\\', "/").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b'~' => encoded.push(char::from(byte)),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests;
