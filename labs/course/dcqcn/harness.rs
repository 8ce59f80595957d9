//! Drives the student's reaction points, one call a line: the number of the flow, the call, and an argument.

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
        let flow = &mut flows[arguments[0] as usize];
        match line.split(' ').next().unwrap_or_default() {
            "cnp" => flow.on_cnp(),
            "alpha" => flow.on_alpha_timer(),
            "timer" => flow.on_increase_timer(),
            "bytes" => flow.on_byte_counter(),
            other => unreachable!("no call is named {other}"),
        }
        format!("{:e}", flow.rate())
    });
}
