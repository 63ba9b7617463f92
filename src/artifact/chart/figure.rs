//! A drawn chart as files: SVG, and PNG and PDF made from it.

use super::page::{Page, escape, units};
use crate::artifact::{font, write_atomically};
use crate::error::{At, Error, Result};
use base64::Engine;
use resvg::{tiny_skia, usvg};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Two pages at 1200 dots per inch.
const MOST_PIXELS: f64 = 120e6;
/// Of CSS: what usvg counts in.
const PIXELS_PER_INCH: f64 = 96.0;
const POINTS_PER_INCH: f64 = 72.0;

/// Metric-compatible fonts first: where an editor ignores the font inside the file, every text is as wide as it was laid out.
const FAMILIES: &str = "'Liberation Sans', Arimo, Helvetica, Arial, sans-serif";

/// A chart that is drawn.
pub struct Figure {
    page: Page,
    /// What the chart shows, for who cannot see it.
    description: String,
    dpi: f64,
}

/// The formats of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Pdf,
    Svg,
}

impl Format {
    const ALL: [Format; 3] = [Format::Png, Format::Pdf, Format::Svg];

    fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Pdf => "pdf",
            Format::Svg => "svg",
        }
    }

    /// The formats that a file's name asks for: all of them for `.png`, else its own.
    fn asked_for(path: &Path) -> Result<Vec<Format>> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
        match Format::ALL.into_iter().find(|format| format.extension() == extension) {
            Some(Format::Png) => Ok(Format::ALL.to_vec()),
            Some(format) => Ok(vec![format]),
            None => Err(Error::new("the name of a chart ends in `.png`, `.pdf` or `.svg`")
                .at(path.display())
                .remedy("`chart.png` writes chart.png, chart.pdf and chart.svg; the others write one file")),
        }
    }
}

impl Figure {
    pub(super) fn new(page: Page, description: String, dpi: f64) -> Figure {
        Figure { page, description, dpi }
    }

    /// An SVG file with the glyphs of its text in it: it looks the same everywhere, and its text can be selected and searched. Each marker,
    /// bar and cell has its numbers as attributes (`data-x`, `data-y`, `data-value`, ...) and in a `<title>`, which browsers show when it is
    /// pointed at.
    ///
    /// # Errors
    /// None but a damaged font in the binary.
    pub fn svg(&self) -> Result<String> {
        let glyphs = base64::engine::general_purpose::STANDARD.encode(font::subset(self.page.characters())?);
        let face = format!("@font-face{{font-family:'{}';src:url(data:font/ttf;base64,{glyphs})}}", font::FAMILY);
        Ok(self.document(&format!("<style>{face}</style>\n")))
    }

    /// The file without the glyphs in it.
    pub(super) fn document(&self, style: &str) -> String {
        let (width, height) = self.page.size();
        let inches = |points: f64| format!("{}in", (points / POINTS_PER_INCH * 1e4).round() / 1e4);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{}\" \
             font-family=\"{FAMILIES}\" stroke-linejoin=\"round\">\n{style}<rect width=\"{w}\" height=\"{h}\" fill=\"#FFFFFF\"/>\n{}</svg>\n",
            inches(width),
            inches(height),
            escape(&self.description),
            self.page.body(),
            w = units(width),
            h = units(height),
        )
    }

    /// A PNG file of `size.dpi` (300 if unsaid), which stands in its header: LaTeX's `\includegraphics` needs no width.
    ///
    /// # Errors
    /// More than 120 million pixels.
    pub fn png(&self) -> Result<Vec<u8>> {
        let (width, height) = self.page.size();
        let pixels = |points: f64| (points / POINTS_PER_INCH * self.dpi).round().max(1.0);
        let (width, height) = (pixels(width), pixels(height));
        if width * height > MOST_PIXELS {
            return Err(Error::new(format!("the image would have {width} x {height} pixels")).remedy("ask for a smaller `size` or `dpi`"));
        }
        let unmade = |reason: String| Error::new(format!("the chart cannot be made a PNG file: {reason}"));
        let mut image = tiny_skia::Pixmap::new(width as u32, height as u32).ok_or_else(|| unmade(format!("{width} x {height} pixels")))?;
        let tree = self.tree()?;
        // To the last pixel: a size in inches seldom is a whole number of pixels.
        let scale = (width as f32 / tree.size().width(), height as f32 / tree.size().height());
        resvg::render(&tree, tiny_skia::Transform::from_scale(scale.0, scale.1), &mut image.as_mut());
        // The paper covers all of the page: nothing is transparent.
        let rgb: Vec<u8> = image.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Best);
        encoder.set_filter(png::FilterType::Up);
        let per_meter = (self.dpi / 0.0254).round() as u32;
        encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_meter, yppu: per_meter, unit: png::Unit::Meter }));
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&rgb)?;
            writer.finish()
        });
        written.map_err(|error| unmade(error.to_string()))?;
        Ok(bytes)
    }

    /// A PDF file of one page, all of it vectors, with its font embedded: its text can be selected and searched.
    ///
    /// # Errors
    /// The chart cannot be converted.
    pub fn pdf(&self) -> Result<Vec<u8>> {
        let page = svg2pdf::PageOptions { dpi: PIXELS_PER_INCH as f32 };
        svg2pdf::to_pdf(&self.tree()?, svg2pdf::ConversionOptions::default(), page)
            .map_err(|error| Error::new(format!("the chart cannot be made a PDF file: {error}")))
    }

    /// Writes what the name asks for: `chart.png` three files, `chart.png`, `chart.pdf` and `chart.svg`; `.pdf` and `.svg` that one. Returns
    /// them. All are made before the first is written.
    ///
    /// # Errors
    /// Another ending; those of the formats, and of [`write_atomically`].
    pub fn write(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for format in Format::asked_for(path)? {
            let bytes = match format {
                Format::Png => self.png(),
                Format::Pdf => self.pdf(),
                Format::Svg => self.svg().map(String::into_bytes),
            };
            // Its own name keeps its spelling, `.PNG` too.
            let name = if format == Format::Png || path.extension().is_some_and(|own| own.eq_ignore_ascii_case(format.extension())) {
                path.to_owned()
            } else {
                path.with_extension(format.extension())
            };
            files.push((name, bytes.at(path.display())?));
        }
        files.iter().try_for_each(|(name, bytes)| write_atomically(name, bytes))?;
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }

    fn tree(&self) -> Result<usvg::Tree> {
        static FONTS: OnceLock<Arc<usvg::fontdb::Database>> = OnceLock::new();
        let fonts = FONTS.get_or_init(|| {
            let mut fonts = usvg::fontdb::Database::new();
            fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(font::BYTES)));
            Arc::new(fonts)
        });
        let options = usvg::Options {
            fontdb: Arc::clone(fonts),
            font_family: font::FAMILY.to_owned(),
            dpi: PIXELS_PER_INCH as f32,
            ..usvg::Options::default()
        };
        usvg::Tree::from_str(&self.document(""), &options).map_err(|error| Error::new(format!("the chart's SVG cannot be read: {error}")))
    }
}
