//! Asks the student's functions, and drives the buffer, one call a line.

mod pause;

use pause::{Buffer, headroom, is_deadlock};
use talk::{Talk, numbers};

fn main() {
    let mut buffer = Buffer::new(0, 0);
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        match line.split(' ').next().unwrap_or_default() {
            "headroom" => headroom(arguments[0], arguments[1], arguments[2]).to_string(),
            "new" => {
                buffer = Buffer::new(arguments[0], arguments[1]);
                String::new()
            }
            "arrival" => format!("{:?}", buffer.on_arrival(arguments[0])),
            "departure" => format!("{:?}", buffer.on_departure(arguments[0])),
            _ => {
                let waits: Vec<(u32, u32)> =
                    arguments.chunks_exact(2).map(|pair| (pair[0] as u32, pair[1] as u32)).collect();
                is_deadlock(&waits).to_string()
            }
        }
    });
}
