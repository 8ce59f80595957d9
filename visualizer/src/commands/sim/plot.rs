//! What was sampled, as SVG.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use ferroce_fabric::Outcome;
use plotters::prelude::*;

/// Curves of one plot. More would be a carpet.
const CURVES: usize = 16;

/// A plot: curves over time.
struct Plot<'a> {
    file: &'static str,
    title: &'a str,
    unit: &'static str,
    scale: f64,
    curves: Vec<(String, Vec<f64>)>,
}

/// Draws goodput, rates and queues into `folder`, as far as they were sampled, and says into which files.
pub(super) fn draw(folder: &Path, outcome: &Outcome) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let samples = &outcome.samples;
    let name = |index: usize| {
        outcome
            .flows
            .get(index)
            .map_or(format!("connection {index}"), |flow| format!("{} → {}", flow.from, flow.to))
    };
    let whole = |values: &Vec<u64>| values.iter().map(|value| *value as f64).collect::<Vec<_>>();
    let goodput = samples.goodput.iter().enumerate().map(|(index, values)| (name(index), values.clone()));
    let rates = samples.rate.iter().enumerate().map(|(index, values)| (name(index), whole(values)));
    let stored =
        samples.stored.iter().enumerate().map(|(index, values)| (format!("switch {index}"), whole(values)));
    let plots = [
        Plot { file: "goodput.svg", title: "Goodput", unit: "Gb/s", scale: 1e9, curves: goodput.collect() },
        Plot {
            file: "rates.svg",
            title: "Rates that congestion control allows",
            unit: "Gb/s",
            scale: 1e9,
            curves: rates.collect(),
        },
        Plot { file: "queues.svg", title: "Memory in use", unit: "KB", scale: 1e3, curves: stored.collect() },
    ];
    let mut files = Vec::new();
    for mut plot in plots {
        plot.curves.retain(|(_, values)| values.iter().any(|value| *value > 0.0));
        plot.curves.truncate(CURVES);
        if !plot.curves.is_empty() {
            let file = folder.join(plot.file);
            fs::write(&file, svg(&plot, &samples.at)?)?;
            files.push(file);
        }
    }
    Ok(files)
}

fn svg(plot: &Plot<'_>, at: &[u64]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (800, 360)).into_drawing_area();
        area.fill(&WHITE)?;
        let millis = |nanos: u64| nanos as f64 / 1e6;
        let last = at.last().copied().map_or(1.0, millis);
        let highest =
            plot.curves.iter().flat_map(|(_, values)| values).fold(0.0f64, |most, value| most.max(*value));
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(plot.title, ("sans-serif", 18))
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..last, 0.0..highest / plot.scale * 1.05)?;
        chart.configure_mesh().light_line_style(WHITE).x_desc("ms").y_desc(plot.unit).draw()?;
        for (index, (name, values)) in plot.curves.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let points = at.iter().zip(values).map(|(at, value)| (millis(*at), value / plot.scale));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
    }
    Ok(text)
}
