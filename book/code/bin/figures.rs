//! Writes the figures of the book.

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let folder = ferroce_book::folder().join("src/figures");
    for (name, svg) in ferroce_book::figures() {
        fs::write(folder.join(name), svg)?;
    }
    Ok(())
}
