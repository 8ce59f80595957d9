//! Drives the student's functions and responder, one call a line.

mod responder;

use responder::{Answer, Responder, add, distance};
use talk::{Talk, numbers};

fn main() {
    let mut responder = Responder::new(0);
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        let argument = |index: usize| arguments[index] as u32;
        match line.split(' ').next().unwrap_or_default() {
            "add" => add(argument(0), argument(1)).to_string(),
            "distance" => distance(argument(0), argument(1)).to_string(),
            "new" => {
                responder = Responder::new(argument(0));
                String::new()
            }
            "request" => match responder.on_request(argument(0), argument(1) == 1) {
                Answer::Execute => "execute".to_owned(),
                Answer::ExecuteAndAck(psn) => format!("execute-ack {psn}"),
                Answer::Ack(psn) => format!("ack {psn}"),
                Answer::Nak(psn) => format!("nak {psn}"),
                Answer::Drop => "drop".to_owned(),
            },
            other => unreachable!("no call is named {other}"),
        }
    });
}
