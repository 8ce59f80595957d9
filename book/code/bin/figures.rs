//! Writes the figures of the book, and the first screen of the README.

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let folder = ferroce_book::folder().join("src/figures");
    for (name, svg) in ferroce_book::figures() {
        fs::write(folder.join(name), svg)?;
    }
    let readme = ferroce_book::readme();
    let text = fs::read_to_string(&readme)?;
    fs::write(readme, ferroce_book::with_first_screen(&text))
}
