//! The book says what is so: its figures are the current ones, its snippets compile and run, its commands print
//! what it shows, its links lead somewhere.

mod figures;
mod pages;
mod papers;
mod shell;
mod snippets;
