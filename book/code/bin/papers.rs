//! Runs what was published and writes the table of the book.

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let table = ferroce_book::papers::table(&ferroce_book::papers::claims());
    print!("{table}");
    fs::write(ferroce_book::folder().join("src/figures/papers.md"), table)
}
