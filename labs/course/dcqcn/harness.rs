//! Drives the student's reaction points: a line has calls, each with the number of the flow, and is answered with the
//! rate after each of them.

mod rate;

use rate::ReactionPoint;
use talk::{Talk, numbers};

fn main() {
    let mut flows: Vec<ReactionPoint> = Vec::new();
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        if line.starts_with("new") {
            flows = (0..arguments[0]).map(|_| ReactionPoint::new(arguments[1] as f64)).collect();
            return String::new();
        }
        let words: Vec<&str> = line.split(' ').collect();
        let rates = words.chunks_exact(2).zip(arguments).map(|(call, flow)| {
            let flow = &mut flows[flow as usize];
            match call[0] {
                "cnp" => flow.on_cnp(),
                "alpha" => flow.on_alpha_timer(),
                "timer" => flow.on_increase_timer(),
                "bytes" => flow.on_byte_counter(),
                other => unreachable!("no call is named {other}"),
            }
            format!("{:e}", flow.rate())
        });
        rates.collect::<Vec<_>>().join(" ")
    });
}
