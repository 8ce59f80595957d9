//! Drives the student's requester, one call a line.

mod selective;

use selective::Requester;
use talk::{Talk, numbers};

fn main() {
    let mut requester = Requester::new(0, 1);
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        let argument = |index: usize| arguments[index] as u32;
        let mut sent = None;
        match line.split(' ').next().unwrap_or_default() {
            "new" => requester = Requester::new(argument(0), argument(1)),
            "post" => requester.post(argument(0)),
            "next" => sent = requester.next_packet(),
            "ack" => requester.on_ack(argument(0)),
            "nak" => requester.on_gap(argument(0), argument(1)),
            "timeout" => requester.on_timeout(),
            other => unreachable!("no call is named {other}"),
        }
        let sent = sent.map_or("none".to_owned(), |psn| psn.to_string());
        format!("{sent} {}", requester.completed())
    });
}
