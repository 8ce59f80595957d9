//! The figures of the book, drawn from what they are about: the engine's own tables, and runs of the engine.
//!
//! `cargo run -p ferroce-book --bin figures` writes them to `book/src/figures`; a test fails when they are out
//! of date. They are included in the pages as SVG, and take the colour of the text around them.

#![forbid(unsafe_code)]

mod ladder;
pub mod papers;
mod states;

use std::path::PathBuf;

/// A figure: the name of its file, and what stands in it.
pub type Figure = (&'static str, String);

/// All figures.
pub fn figures() -> Vec<Figure> {
    vec![
        ("queue-pair-states.svg", states::draw()),
        ("a-lost-packet.svg", ladder::draw()),
        ("scenario-reference.md", ferroce_fabric::reference()),
    ]
}

/// The book's folder.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
