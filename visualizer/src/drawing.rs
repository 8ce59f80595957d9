//! SVG with the few things that figures and ladders need.

use std::fmt::Write;

/// A drawing that grows. Lengths are in pixels, from the upper left corner. All lines and words have the colour of the text around it.
#[derive(Clone, Debug)]
pub struct Drawing {
    width: u32,
    body: String,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// As it is.
    Plain,
    /// For what is always there.
    Faint,
    /// With a head at its end.
    Arrow,
}

/// Where a text stands with respect to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Begins there.
    Start,
    /// Has its middle there.
    Middle,
    /// Ends there.
    End,
}

impl Drawing {
    /// An empty drawing of this width.
    pub fn new(width: u32) -> Drawing {
        Drawing { width, body: String::new() }
    }

    /// A straight line.
    pub fn line(&mut self, from: (u32, u32), to: (u32, u32), line: Line) {
        let look = match line {
            Line::Plain => "",
            Line::Faint => r#" opacity="0.35""#,
            Line::Arrow => r#" marker-end="url(#tip)""#,
        };
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(&format!(r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"{look}/>"#));
    }

    /// Where something ends.
    pub fn cross(&mut self, (x, y): (u32, u32)) {
        self.line((x - 5, y - 5), (x + 5, y + 5), Line::Plain);
        self.line((x - 5, y + 5), (x + 5, y - 5), Line::Plain);
    }

    /// A rectangle with round corners.
    pub fn box_(&mut self, (x, y): (u32, u32), (width, height): (u32, u32)) {
        let size = format!(r#"width="{width}" height="{height}""#);
        self.add(&format!(r#"<rect x="{x}" y="{y}" {size} rx="6" fill="none"/>"#));
    }

    /// Words.
    pub fn text(&mut self, (x, y): (u32, u32), anchor: Anchor, text: &str) {
        self.styled(x, y, anchor, "", text);
    }

    /// Words that stand out.
    pub fn strong(&mut self, (x, y): (u32, u32), anchor: Anchor, text: &str) {
        self.styled(x, y, anchor, r#" font-weight="bold""#, text);
    }

    fn styled(&mut self, x: u32, y: u32, anchor: Anchor, style: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        let look = r#"stroke="none" fill="currentColor""#;
        self.add(&format!(r#"<text x="{x}" y="{y}" text-anchor="{anchor}" {look}{style}>{text}</text>"#));
    }

    /// The whole drawing. `title` and `description` are for those who cannot see it.
    pub fn finish(self, height: u32, title: &str, description: &str) -> String {
        let Drawing { width, body } = self;
        let (title, description) = (escaped(title), escaped(description));
        // No empty lines: they would end the HTML that a Markdown page includes.
        let mut svg = String::new();
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}" style="max-width: 100%; height: auto" font-family="sans-serif" font-size="13" stroke="currentColor" stroke-width="1.5">
<title>{title}</title>
<desc>{description}</desc>
<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="currentColor" stroke="none"/></marker></defs>"#
        )
        .expect("a String");
        svg + &body + "</svg>\n"
    }

    /// The whole drawing as a file of its own, light or dark as its reader likes it.
    pub fn finish_alone(mut self, height: u32, title: &str, description: &str) -> String {
        let style = "<style>svg { background: #fff; color: #111 } @media (prefers-color-scheme: dark) { \
                     svg { background: #16181c; color: #e6e6e6 } }</style>\n";
        self.body.insert_str(0, style);
        self.finish(height, title, description)
    }

    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

/// Text as it stands in XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
