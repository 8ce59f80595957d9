//! Drawings of what the runs gave.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

/// A drawing, which goes into a file of the book.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Name of the file, without its ending.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// What the values are, with their unit.
    pub unit: &'static str,
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Values over something.
    Curves { over: &'static str, curves: Vec<Curve> },
    /// A value for each name.
    Bars(Vec<(String, f64)>),
}

#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Line,
    Dots,
}

impl Curve {
    pub(super) fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Curve {
        Curve { name: name.into(), points, style: Style::Line }
    }

    pub(super) fn dots(name: impl Into<String>, points: Vec<(f64, f64)>) -> Curve {
        Curve { name: name.into(), points, style: Style::Dots }
    }
}

const SIZE: (u32, u32) = (720, 320);

/// Text, axes and meshes are drawn in this, which no curve has; it becomes the colour of the text around the picture.
const TEXT: RGBColor = RGBColor(0x80, 0x80, 0x81);

/// Readable on white and on black, and apart for those who see no red or no green.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x83, 0xc9),
    RGBColor(0xe0, 0x6c, 0x00),
    RGBColor(0x00, 0x96, 0x6e),
    RGBColor(0xc4, 0x5a, 0x9c),
    RGBColor(0x9a, 0x86, 0x00),
    RGBColor(0x6d, 0x70, 0xd6),
];

type Drawn = Result<(), Box<dyn Error>>;

impl Plot {
    /// The drawing as SVG that can stand in a page.
    ///
    /// # Panics
    /// When there is nothing to draw.
    pub fn svg(&self) -> String {
        let mut text = String::new();
        self.draw(SVGBackend::with_string(&mut text, SIZE).into_drawing_area())
            .expect("a string takes everything");
        let text = text.replace("\"#808081\"", "\"currentColor\"");
        let (width, height) = SIZE;
        let begin = format!("<svg width=\"{width}\" height=\"{height}\"");
        let own = format!(
            "<svg role=\"img\" aria-label=\"{}\" style=\"max-width: 100%; height: auto\"",
            self.title
        );
        text.replacen(&begin, &own, 1)
    }

    fn draw(&self, area: DrawingArea<SVGBackend<'_>, Shift>) -> Drawn {
        match &self.form {
            Form::Curves { over, curves } => self.draw_curves(&area, over, curves)?,
            Form::Bars(bars) => self.draw_bars(&area, bars)?,
        }
        area.present()?;
        Ok(())
    }

    fn draw_curves(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, over: &str, curves: &[Curve]) -> Drawn {
        let all = || curves.iter().flat_map(|curve| &curve.points);
        let last = all().fold(f64::MIN, |most, point| most.max(point.0));
        let first = all().fold(f64::MAX, |least, point| least.min(point.0));
        let most = all().fold(0.0f64, |most, point| most.max(point.1));
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(24)
            .caption(self.title, ("sans-serif", 15, &TEXT))
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(first..last, 0.0..most * 1.3)?;
        chart
            .configure_mesh()
            .axis_style(TEXT)
            .bold_line_style(TEXT.mix(0.25))
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 12, &TEXT))
            .x_desc(over)
            .y_desc(self.unit)
            .draw()?;
        for (curve, colour) in curves.iter().zip(COLOURS.into_iter().cycle()) {
            let points = curve.points.iter().copied();
            match curve.style {
                Style::Line => chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?,
                Style::Dots => {
                    chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))?
                }
            }
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(("sans-serif", 12, &TEXT))
            .draw()?;
        Ok(())
    }

    fn draw_bars(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, bars: &[(String, f64)]) -> Drawn {
        let most = bars.iter().fold(0.0f64, |most, bar| most.max(bar.1));
        let name = |place: &SegmentValue<usize>| match place {
            SegmentValue::CenterOf(index) => bars.get(*index).map_or(String::new(), |bar| bar.0.clone()),
            _ => String::new(),
        };
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(24)
            .caption(self.title, ("sans-serif", 15, &TEXT))
            .x_label_area_size(38)
            .y_label_area_size(230)
            .build_cartesian_2d(0.0..most * 1.08, (0..bars.len()).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .axis_style(TEXT)
            .bold_line_style(TEXT.mix(0.25))
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 12, &TEXT))
            .y_labels(bars.len())
            .y_label_formatter(&name)
            .x_desc(self.unit)
            .draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(index, (_, value))| {
            let ends = [(0.0, SegmentValue::Exact(index)), (*value, SegmentValue::Exact(index + 1))];
            let mut bar = Rectangle::new(ends, COLOURS[0].filled());
            bar.set_margin(3, 3, 0, 0);
            bar
        }))?;
        Ok(())
    }
}

/// A line over time in milliseconds, of values at these nanoseconds.
pub(super) fn over_time(name: impl Into<String>, at: &[u64], values: impl Iterator<Item = f64>) -> Curve {
    Curve::line(name, at.iter().map(|at| *at as f64 / 1e6).zip(values).collect())
}
