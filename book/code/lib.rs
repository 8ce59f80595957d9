//! The figures of the book, drawn from what they are about: the engine's own tables, and runs of the engine.
//!
//! `cargo run -p ferroce-book --bin figures` writes them to `book/src/figures`, and the first screen of the README; a
//! test fails when they are out of date. They are included in the pages as SVG, and take the colour of the text around them.

#![forbid(unsafe_code)]

mod ladder;
pub mod papers;
mod reference;
mod screens;
mod states;

use std::path::PathBuf;

/// A figure: the name of its file, and what stands in it.
pub type Figure = (&'static str, String);

/// All figures.
pub fn figures() -> Vec<Figure> {
    vec![
        ("queue-pair-states.svg", states::draw()),
        ("a-lost-packet.svg", ladder::draw()),
        ("lost-packet.svg", screens::picture()),
        ("lost-packet.cast", screens::recording()),
        ("scenario-reference.md", ferroce_fabric::reference()),
        ("packets.svg", reference::packets()),
        ("wire-reference.md", reference::wire()),
        ("queue-pair-reference.md", reference::queue_pairs()),
        ("reject-reasons.md", reference::reasons()),
    ]
}

/// The README with its first screen as the program draws it now.
///
/// # Panics
/// When there is no place for it.
pub fn with_first_screen(readme: &str) -> String {
    const BEGIN: &str = "<!-- drawn by ferroce-book -->\n```text\n";
    const END: &str = "```\n<!-- to here -->\n";
    let (before, rest) = readme.split_once(BEGIN).expect("the first screen begins");
    let (_, after) = rest.split_once(END).expect("the first screen ends");
    format!("{before}{BEGIN}{}{END}{after}", screens::ladder())
}

/// The first page of the repository.
pub fn readme() -> PathBuf {
    folder().join("../README.md")
}

/// The book's folder.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
