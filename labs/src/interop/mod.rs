//! The lab "Interop": captures of two kernels' NICs are read and explained, and a session that does not work is mended.

mod captures;
mod session;

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Wrong, count, rules};
use crate::film::Film;
use crate::talk::{Players, Stop, hex};
use captures::{CASES, Case, frames};
use session::Session;

pub(crate) const INTEROP: Lab = Lab {
    name: "interop",
    title: "Interop",
    language: Language::Rust,
    text: course_file!("interop/README.md"),
    file: "interop.rs",
    starter: course_file!("interop/starter.rs"),
    harness: course_file!("interop/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: CAPTURE,
            title: "read frames that a kernel's NIC has sent",
            hints: &[
                "Ethernet has 14 bytes: 0x0800 at 12 and 13 says IPv4. The IPv4 header has 4 * (byte 0 & 15) bytes; its byte 9 \
                 is 17 for UDP. The UDP header has 8; its bytes 2 and 3 are the port it goes to, 4791.",
                "Then comes the BTH: opcode in byte 0, destination queue pair in 5 to 7, PSN in 9 to 11. The AETH of an \
                 answer (opcodes 0x11 and 0x0d to 0x10) follows at 12: its first byte is the syndrome.",
            ],
            questions: 24,
        },
        Step {
            name: EXPLAIN,
            title: "say what is wrong between two kernels",
            hints: &[
                "A syndrome's bits 6 and 5: 0 is an ACK, 1 RNR NAK, 3 a NAK. Of NAKs the lower five bits say: 0 sequence error, \
                 1 invalid request, 2 remote access error.",
                "Requests go to one queue pair, answers to the other: a frame with opcode 0x11 is an answer, all others here \
                 are requests.",
                "If nothing comes back, the requests go to a queue pair that is not ready, or the answers to somewhere else.",
            ],
            questions: 24,
        },
        Step {
            name: MEND,
            title: "mend a session",
            hints: &[
                "Look at the first NAK. \"Sequence error\": its PSN is the one that the other side begins with. \"Invalid \
                 request\": halve the path MTU. RNR NAKs and no ACK: give rnr_retry its largest value, 7.",
                "Change one setting at a time, and nothing that is not shown to be wrong. With rnr_retry 7 skip RNR NAKs.",
            ],
            questions: 8,
        },
    ],
    draw: |step, number, dice| -> Box<dyn Question> {
        match step {
            CAPTURE => Box::new(read(number, dice)),
            EXPLAIN => Box::new(Explain(&CASES[number % CASES.len()])),
            _ => Box::new(Session::draw(number, dice)),
        }
    },
};

const CAPTURE: &str = "capture";
const EXPLAIN: &str = "explain";
const MEND: &str = "mend";

rules! {
    FRAME "capture.frame" "IBTA volume 1, 9.2 and annex A17":
        "RoCEv2 is UDP to port 4791; the BTH begins right after the UDP header, and in an answer the AETH after the BTH.";
    EXPLAINED "session.explained" "IBTA volume 1, 9.7.5.2":
        "The first answer that is no ACK says what is wrong; where none comes, nobody is there to answer.";
    MENDED "session.mended" "IBTA volume 1, 9.7":
        "What the capture shows to be wrong is changed, and nothing else; then the message arrives.";
}

/// A frame of one of the captures.
fn read(number: usize, dice: &mut Dice) -> Ask {
    let case = &CASES[dice.bits() as usize % CASES.len()];
    let frames = frames(case.capture);
    let mut frame = frames[dice.bits() as usize % frames.len()].to_vec();
    // Some are something else, or nothing whole.
    match number % 6 {
        3 => frame[23] = 6,
        4 => frame[37] ^= 1,
        5 => frame.truncate(dice.bits() as usize % 50),
        _ => {}
    }
    let text = hex(&frame);
    Ask {
        shown: format!("read() of {}: {}", count(frame.len() as u64, "byte"), words(&text)),
        line: format!("read {text}"),
        wanted: captures::read(&frame),
        rule: &FRAME,
    }
}

/// The beginning of a frame, up to where an AETH ends, in words of two bytes.
fn words(text: &str) -> String {
    const SHOWN: usize = 2 * 58;
    let head = &text.as_bytes()[..text.len().min(SHOWN)];
    let words: Vec<_> = head.chunks(4).map(String::from_utf8_lossy).collect();
    words.join(" ") + if text.len() > SHOWN { " ..." } else { "" }
}

/// A capture of two kernels that misunderstand each other, and what is wrong.
struct Explain(&'static Case);

impl Explain {
    fn as_ask(&self) -> Ask {
        let Case { capture, what, fault } = self.0;
        let frames: Vec<String> = frames(capture).into_iter().map(hex).collect();
        Ask {
            shown: format!("explain(), {} frames: {what}", frames.len()),
            line: format!("explain {}", frames.join(" ")),
            wanted: (*fault).to_owned(),
            rule: &EXPLAINED,
        }
    }
}

impl Question for Explain {
    fn describe(&self) -> String {
        self.as_ask().describe()
    }

    /// The capture can be looked at when the answer is wrong.
    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        self.as_ask().ask(players).map_err(|stop| match stop {
            Stop::Wrong(wrong) => {
                let film = Film::of_capture(self.0.capture.to_vec(), 0);
                Wrong { film: Some(film), ..wrong }.into()
            }
            stop => stop,
        })
    }
}
