//! The pages hang together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Markdown files with what is in them: the pages of the book, and what else people read in the repository.
fn documents() -> Vec<(PathBuf, String)> {
    let book = ferroce_book::folder();
    let root = book.parent().unwrap();
    let pages = fs::read_dir(book.join("src")).unwrap().map(|entry| entry.unwrap().path());
    let others = ["README.md", "CONTRIBUTING.md"].map(|name| root.join(name));
    let markdown = pages.chain(others).filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    markdown.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Where the links and includes of a document lead.
fn targets(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let includes = text.split("{{#include ").skip(1).filter_map(|rest| rest.split_once("}}"));
    let includes = includes.map(|(target, _)| target.split(':').next().unwrap_or(target));
    links.chain(includes).filter(|target| !target.starts_with("http")).collect()
}

/// The anchor that mdBook and GitHub make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        for target in targets(&text) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(there.exists(), "{}: nothing at {target}", path.display());
            if !heading.is_empty() {
                let page = fs::read_to_string(&there).unwrap();
                let anchors: BTreeSet<String> = page
                    .lines()
                    .filter(|l| l.starts_with('#'))
                    .map(|l| anchor(l.trim_start_matches('#')))
                    .collect();
                assert!(anchors.contains(heading), "{}: no heading for {target}", path.display());
            }
        }
    }
}

#[test]
fn every_page_is_in_the_summary() {
    let documents = documents();
    let is_summary = |path: &Path| path.ends_with("SUMMARY.md");
    let (_, summary) = documents.iter().find(|(path, _)| is_summary(path)).unwrap();
    let listed: BTreeSet<&str> = targets(summary).into_iter().collect();
    for (path, _) in documents.iter().filter(|(path, _)| path.parent().unwrap().ends_with("src")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(listed.contains(name) || is_summary(path), "{name} is not in the summary");
    }
}

#[test]
fn rust_in_the_book_is_taken_from_files_that_are_tested() {
    for (path, text) in documents().into_iter().filter(|(path, _)| path.parent().unwrap().ends_with("src")) {
        for block in text.split("```rust").skip(1) {
            let body = block.split_once('\n').map_or("", |(_, body)| body);
            assert!(
                body.starts_with("{{#include ../tests/book/snippets.rs:"),
                "{}: {body:.60}",
                path.display()
            );
        }
    }
}
