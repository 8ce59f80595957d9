//! The lab "What RDMA saves": system calls, copies and processor time, counted.

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::rules;

pub(crate) const SAVINGS: Lab = Lab {
    name: "savings",
    title: "What RDMA saves",
    language: Language::Rust,
    text: course_file!("savings/README.md"),
    file: "savings.rs",
    starter: course_file!("savings/starter.rs"),
    harness: course_file!("savings/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: SOCKETS,
            title: "what a program over sockets pays",
            hints: &[
                "Every call of the list enters the kernel once. Send and Receive copy their bytes, between your memory and the \
                 kernel's; Wait copies nothing.",
            ],
            questions: 8,
        },
        Step {
            name: VERBS,
            title: "which verbs leave the process",
            hints: &[
                "What makes, changes or destroys an object goes through the kernel: the command channel. Posting and polling \
                 only read and write memory that the card reads and writes too: the data channel.",
                "Arming a completion queue is a write to the card. Waiting for its event is a system call.",
            ],
            questions: 12,
        },
        Step {
            name: PAYS,
            title: "when it pays",
            hints: &[
                "Over sockets n messages cost n * (socket_fixed + bytes * socket_per_byte). With verbs they cost setup + n * \
                 verbs_fixed, whatever their size.",
                "The smallest n with setup + n * verbs_fixed <= n * socket: divide setup by what each message saves, and round \
                 up. If a message saves nothing it never pays.",
            ],
            questions: 16,
        },
    ],
    draw: |step, number, dice| -> Box<dyn Question> {
        Box::new(match step {
            SOCKETS => sockets(number, dice),
            VERBS => verbs(number, dice),
            _ => pays(number, dice),
        })
    },
};

const SOCKETS: &str = "sockets";
const VERBS: &str = "verbs";
const PAYS: &str = "pays";

rules! {
    CROSSINGS "cost.sockets" "send(2), recv(2), poll(2)":
        "Every system call crosses into the kernel; what is sent or received is copied, once by each call.";
    DATA_PATH "cost.verbs" "ibv_post_send(3), ibv_poll_cq(3)":
        "Only commands cross into the kernel: posting, polling and arming do not, and nothing copies the data.";
    BREAK_EVEN "cost.break-even" "this lab":
        "Setting up pays from that message on at which what was saved is at least what it has cost.";
}

/// System calls of a program over sockets, as the harness has them, and whether they copy.
const CALLS: [(&str, bool); 3] = [("Send", true), ("Receive", true), ("Wait", false)];

/// Verbs, and whether they leave the process.
const VERBS_OF: [(&str, bool); 9] = [
    ("RegMr", true),
    ("CreateCq", true),
    ("CreateQp", true),
    ("ModifyQp", true),
    ("PostSend", false),
    ("PostRecv", false),
    ("PollCq", false),
    ("ReqNotifyCq", false),
    ("GetCqEvent", true),
];

fn sockets(number: usize, dice: &mut Dice) -> Ask {
    let calls: Vec<(usize, u64)> =
        (0..number * 3 / 2).map(|_| (dice.bits() as usize % CALLS.len(), dice.number(16))).collect();
    let copied: u64 = calls.iter().filter(|(call, _)| CALLS[*call].1).map(|(_, bytes)| bytes).sum();
    let shown: Vec<String> =
        calls.iter().map(|(call, bytes)| format!("{}({bytes})", CALLS[*call].0)).collect();
    let words: Vec<String> = calls.iter().map(|(call, bytes)| format!("{call} {bytes}")).collect();
    Ask {
        shown: format!("sockets([{}])", shown.join(", ")),
        line: format!("sockets {}", words.join(" ")),
        wanted: format!("crossings {} copied {copied}", calls.len()),
        rule: &CROSSINGS,
    }
}

fn verbs(number: usize, dice: &mut Dice) -> Ask {
    let verbs: Vec<usize> = match number {
        0..9 => vec![number],
        _ => (0..number).map(|_| dice.bits() as usize % VERBS_OF.len()).collect(),
    };
    let crossings = verbs.iter().filter(|verb| VERBS_OF[**verb].1).count();
    let shown: Vec<&str> = verbs.iter().map(|verb| VERBS_OF[*verb].0).collect();
    let words: Vec<String> = verbs.iter().map(usize::to_string).collect();
    Ask {
        shown: format!("verbs([{}])", shown.join(", ")),
        line: format!("verbs {}", words.join(" ")),
        wanted: format!("crossings {crossings} copied 0"),
        rule: &DATA_PATH,
    }
}

fn pays(number: usize, dice: &mut Dice) -> Ask {
    let setup = dice.number(20);
    let socket_fixed = 1 + dice.number(13);
    let bytes = 1 << (number % 12);
    let socket_per_byte = number as u64 % 3;
    let socket = socket_fixed + bytes * socket_per_byte;
    let (setup, verbs_fixed) = match number {
        0 => (100, socket + 1),
        1 => (100, socket),
        2 => (0, socket - 1),
        // What is saved goes into what it costs without a rest.
        3 => (40 * socket.min(10), socket - socket.min(10)),
        4 => (0, socket + 1),
        _ => (setup, dice.number(10).min(socket)),
    };
    let wanted = match socket.saturating_sub(verbs_fixed) {
        _ if setup == 0 => Some(0),
        0 => None,
        saved => Some(setup.div_ceil(saved)),
    };
    Ask {
        shown: format!(
            "pays_after(setup {setup}, verbs {verbs_fixed}, socket {socket_fixed} + {bytes} * {socket_per_byte})"
        ),
        line: format!("pays {setup} {verbs_fixed} {socket_fixed} {socket_per_byte} {bytes}"),
        wanted: format!("{wanted:?}"),
        rule: &BREAK_EVEN,
    }
}
