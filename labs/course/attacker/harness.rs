//! Asks the student's functions, one call a line.

mod attack;

use talk::{Talk, numbers};

fn main() {
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        match line.split(' ').next().unwrap_or_default() {
            "key" => {
                let seen: Vec<u32> = arguments.iter().map(|&key| key as u32).collect();
                attack::next_key(&seen).map_or("None".to_owned(), |key| format!("Some({key:#x})"))
            }
            "seconds" => attack::seconds(arguments[0] as u32, arguments[1]).to_string(),
            _ => format!("{:?}", attack::inject(arguments[0] as u32, arguments[1] as u32)),
        }
    });
}
