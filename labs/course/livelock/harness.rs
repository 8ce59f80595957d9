//! Asks the student's functions, one call a line.

mod restart;

use talk::{Talk, numbers};

fn main() {
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        let (one, two) = (arguments[0], arguments[1]);
        match line.split(' ').next().unwrap_or_default() {
            "delivers" => restart::delivers(one, two).to_string(),
            "resume" => restart::resume(one, two).to_string(),
            _ => restart::sent(one, two).to_string(),
        }
    });
}
