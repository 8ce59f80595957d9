//! The lab "Broken sessions": from packets to what must be mended.

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Rule, rules};

pub(crate) const BROKEN_SESSION: Lab = Lab {
    name: "broken-session",
    title: "Broken sessions",
    language: Language::Rust,
    text: course_file!("broken-session/README.md"),
    file: "session.rs",
    starter: course_file!("broken-session/starter.rs"),
    harness: course_file!("broken-session/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: SILENCE,
            title: "nobody answers",
            hints: &["If there is no answer at all, look at icrc_is_right of the requests."],
            questions: 8,
        },
        Step {
            name: ANSWERS,
            title: "what the answers say",
            hints: &[
                "A NAK for access or for an invalid request ends a connection: one is enough.",
                "For FirstPsn look for a SequenceNak whose PSN stands in no request.",
            ],
            questions: 16,
        },
        Step {
            name: RECOVERY,
            title: "losses that are nobody's fault",
            hints: &[
                "An RnrNak is a fault only if the message was never acknowledged.",
                "A SequenceNak that names a packet which was sent is a loss.",
            ],
            questions: 12,
        },
    ],
    draw: |step, number, dice| -> Box<dyn Question> {
        let what = match step {
            SILENCE => [Story::Icrc, Story::Unreachable][number % 2],
            ANSWERS => [Story::FirstPsn, Story::PathMtu, Story::NoReceive, Story::Key][number % 4],
            _ => [Story::Well, Story::Loss, Story::LateReceive, Story::BadOnce][number % 4],
        };
        Box::new(what.tell(dice))
    },
};

const SILENCE: &str = "silence";
const ANSWERS: &str = "answers";
const RECOVERY: &str = "recovery";

rules! {
    ICRC "session.icrc" "IBTA volume 1, annex A17":
        "A packet with a wrong ICRC is dropped without an answer.";
    UNREACHABLE "session.unreachable" "IBTA volume 1, 9.6":
        "No answer to packets that are right: they do not get to a queue pair that is ready to receive.";
    FIRST_PSN "session.first-psn" "IBTA volume 1, 9.7.2":
        "A responder that asks for a PSN which was never sent was told another first PSN.";
    PATH_MTU "session.path-mtu" "IBTA volume 1, 9.7.4.1":
        "A packet with more payload than the responder's path MTU is an invalid request.";
    NO_RECEIVE "session.no-receive" "IBTA volume 1, 9.7.5.2.8":
        "\"Receiver not ready\" again and again, and no acknowledgement: no receive is ever posted.";
    KEY "session.key" "IBTA volume 1, 9.7.5.2.4":
        "\"Remote access error\" means that the responder's memory may not be used like that.";
    RECOVERED "session.recovered" "IBTA volume 1, 9.7.5":
        "A session in which everything was acknowledged in the end needs no mending.";
}

/// What happens in a session.
#[derive(Clone, Copy, Debug)]
enum Story {
    Icrc,
    Unreachable,
    FirstPsn,
    PathMtu,
    NoReceive,
    Key,
    Well,
    Loss,
    LateReceive,
    BadOnce,
}

/// Kinds of packets by their numbers, as the harness has them.
const NAMES: [&str; 10] = [
    "SendFirst",
    "SendMiddle",
    "SendLast",
    "SendOnly",
    "WriteOnly",
    "Ack",
    "RnrNak",
    "SequenceNak",
    "InvalidRequestNak",
    "RemoteAccessNak",
];
const FIRST: usize = 0;
const LAST: usize = 2;
const ONLY: usize = 3;
const WRITE: usize = 4;
const ACK: usize = 5;
const RNR: usize = 6;
const SEQUENCE: usize = 7;
const INVALID: usize = 8;
const ACCESS: usize = 9;

/// A packet: its kind, PSN, payload, and whether its ICRC is right.
type Packet = (usize, u32, u32, bool);

impl Story {
    fn tell(self, dice: &mut Dice) -> Ask {
        // Often near the end of the circle.
        let psn = if dice.flag() { 0x00ff_ffff - dice.number(2) } else { dice.number(24) } as u32;
        let at = |steps: u32| (psn + steps) & 0x00ff_ffff;
        let bytes = 1 + dice.number(10) as u32;
        let tries = 2 + dice.number(2) as usize;
        let only = (ONLY, psn, bytes, true);
        let answer = |kind: usize, psn: u32| (kind, psn, 0, true);
        let pair = [(FIRST, psn, 1024, true), (LAST, at(1), bytes, true)];
        let (packets, wanted, rule): (Vec<Packet>, &str, &'static Rule) = match self {
            Story::Icrc => (vec![(ONLY, psn, bytes, false); tries], "Icrc", &ICRC),
            Story::Unreachable => (vec![only; tries], "Unreachable", &UNREACHABLE),
            Story::FirstPsn => {
                // The responder expects one that is before, so that what comes is early.
                let expected = psn.wrapping_sub(1 + dice.number(8) as u32) & 0x00ff_ffff;
                (vec![only, answer(SEQUENCE, expected), only, only], "FirstPsn", &FIRST_PSN)
            }
            Story::PathMtu => (vec![(FIRST, psn, 4096, true), answer(INVALID, psn)], "PathMtu", &PATH_MTU),
            Story::NoReceive => ([only, answer(RNR, psn)].repeat(tries), "NoReceive", &NO_RECEIVE),
            Story::Key => (vec![(WRITE, psn, bytes, true), answer(ACCESS, psn)], "Key", &KEY),
            Story::Well => (vec![pair[0], pair[1], answer(ACK, at(1))], "Nothing", &RECOVERED),
            Story::Loss => {
                let again = [answer(SEQUENCE, psn), pair[0], pair[1], answer(ACK, at(1))];
                ([&pair[..], &again].concat(), "Nothing", &RECOVERED)
            }
            Story::LateReceive => {
                let late = [answer(RNR, psn), only, answer(ACK, psn)];
                ([&[only][..], &late].concat(), "Nothing", &RECOVERED)
            }
            Story::BadOnce => {
                (vec![(ONLY, psn, bytes, false), only, answer(ACK, psn)], "Nothing", &RECOVERED)
            }
        };
        let words: Vec<String> = packets
            .iter()
            .map(|&(kind, psn, payload, is_right)| {
                format!("{} {kind} {psn} {payload} {}", u8::from(kind < ACK), u8::from(is_right))
            })
            .collect();
        let shown: Vec<String> = packets
            .iter()
            .map(|&(kind, psn, payload, is_right)| {
                let arrow = if kind < ACK { "─▶" } else { "◀─" };
                let payload = if kind < ACK { format!(", {payload} bytes") } else { String::new() };
                let icrc = if is_right { "" } else { ", wrong ICRC" };
                format!("{arrow} {} {psn:#08x}{payload}{icrc}", NAMES[kind])
            })
            .collect();
        Ask { shown: shown.join("; "), line: words.join(" "), wanted: wanted.to_owned(), rule }
    }
}
