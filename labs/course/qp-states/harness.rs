//! Asks the student's functions, one call a line.

mod states;

use states::{Attr, Queue, State, modify, post};
use talk::{Talk, numbers};

const STATES: [State; 5] = [State::Reset, State::Init, State::Rtr, State::Rts, State::Err];

const ATTRS: [Attr; 14] = [
    Attr::PkeyIndex,
    Attr::Port,
    Attr::AccessFlags,
    Attr::Av,
    Attr::PathMtu,
    Attr::DestQpn,
    Attr::RqPsn,
    Attr::MaxDestRdAtomic,
    Attr::MinRnrTimer,
    Attr::SqPsn,
    Attr::Timeout,
    Attr::RetryCnt,
    Attr::RnrRetry,
    Attr::MaxQpRdAtomic,
];

fn main() {
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        let state = |index: usize| STATES[arguments[index] as usize];
        match line.split(' ').next().unwrap_or_default() {
            "modify" => {
                let given: Vec<Attr> = arguments[2..].iter().map(|&attr| ATTRS[attr as usize]).collect();
                modify(state(0), state(1), &given).to_string()
            }
            _ => format!("{:?}", post(state(0), [Queue::Send, Queue::Receive][arguments[1] as usize])),
        }
    });
}
