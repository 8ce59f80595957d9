//! Runs what was published and writes the table of the book, and the drawings.

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let (claims, plots) = ferroce_book::papers::results();
    let (table, folder) = (ferroce_book::papers::table(&claims), ferroce_book::folder().join("src/figures"));
    print!("{table}");
    for plot in plots {
        fs::write(folder.join(plot.name).with_extension("svg"), plot.svg())?;
    }
    fs::write(folder.join("papers.md"), table)
}
