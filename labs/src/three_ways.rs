//! The lab "Three ways": one program, connected by hand, by the connection manager, and over sockets.

use std::time::Duration;

use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, count, rules};
use crate::stage::{RDMA, STREAM, Stage};
use crate::talk::{Players, Stop};

pub(crate) const THREE_WAYS: Lab = Lab {
    name: "three-ways",
    title: "Three ways to connect",
    language: Language::Rust,
    text: course_file!("three-ways/README.md"),
    file: "ways.rs",
    starter: course_file!("three-ways/starter.rs"),
    harness: course_file!("three-ways/harness.rs"),
    modules: &[RDMA, STREAM],
    steps: &[
        Step {
            name: HAND,
            title: "by hand",
            hints: &[
                "It is the lab \"Ping-pong\" once more: to_init, post a receive, tell, hear, to_rtr, to_rts.",
                "Put what both ends share into a struct with `send` and `receive`: you will use it again for `cm`.",
            ],
            questions: 3,
        },
        Step {
            name: CM,
            title: "by the connection manager",
            hints: &[
                "The server: listen, request, a queue pair in Init with a receive posted, accept. The client: a queue \
                 pair in Init with a receive posted, dial.",
                "Neither knows numbers or PSNs of the other, and nothing is told: the cards agree.",
            ],
            questions: 4,
        },
        Step {
            name: REFUSE,
            title: "versions that the server does not speak",
            hints: &[
                "The client puts the version into the first byte of its private data. If the answer is \
                 Refusal::Rejected, it tries the next one, with a queue pair that is still in Init.",
                "The server asks for requests until one has its version, and rejects all others.",
            ],
            questions: 4,
        },
        Step {
            name: SOCKETS,
            title: "over sockets",
            hints: &[
                "A stream has no messages: read returns what is there, which can be less than a message. Read until you \
                 have `size` bytes.",
            ],
            questions: 4,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const HAND: &str = "hand";
const CM: &str = "cm";
const REFUSE: &str = "refuse";
const SOCKETS: &str = "sockets";

rules! {
    RECEIVE_FIRST "receive.first" "IBTA volume 1, 9.7.5.2.8":
        "A receive is posted before the message can arrive; otherwise the card must answer \"receiver not ready\".";
    CONTENT "echo.content" "this lab":
        "Every byte comes back increased by 1, and the client returns the sum of all bytes of all answers.";
    BYTES "stream.bytes" "POSIX, recv()":
        "A stream carries bytes, not messages: what was sent in one piece can come in several.";
    CARD "stream.card" "man page rsocket(7)":
        "Sockets over RDMA have calls of their own: rsocket, rconnect, rsend. Those of the system do not use the card.";
    TOLD "cm.alone" "IBTA volume 1, 12.9.6":
        "REQ and REP carry all that two queue pairs must know of each other: nothing else is told.";
    VERSION "cm.version" "rdma_reject(3)":
        "The server rejects every version but its own, and the client tries its versions in their order.";
}

/// Versions that programs of this lab speak.
const VERSIONS: u64 = 4;

#[derive(Debug)]
struct Game {
    seed: u64,
    way: &'static str,
    rounds: u64,
    size: u64,
    fill: u8,
    /// What the server speaks, and what the client tries.
    speaks: u64,
    tries: Vec<u64>,
    loss: Chance,
}

impl Game {
    fn draw(step: &'static str, number: usize, dice: &mut Dice) -> Game {
        let size = match (step, number) {
            (_, 0) => 1,
            (SOCKETS, 1) => 3000,
            (SOCKETS, _) => 1 + dice.number(12),
            _ => 1 + dice.number(10),
        };
        let speaks = 1 + dice.number(2);
        let tries = if step == REFUSE {
            let before = 1 + number as u64 % (VERSIONS - 1);
            (0..=before).map(|n| 1 + (speaks - 1 + VERSIONS - before + n) % VERSIONS).collect()
        } else {
            vec![speaks]
        };
        let loss = if number == 3 { Chance::percent(3) } else { Chance::NEVER };
        Game {
            seed: dice.bits(),
            way: step,
            rounds: 1 + dice.number(3),
            size,
            fill: dice.number(8) as u8,
            speaks,
            tries,
            loss,
        }
    }

    /// What the client must return.
    fn sum(&self) -> u64 {
        let byte = |round: u64, at: u64| u64::from(self.fill.wrapping_add((round + at + 1) as u8));
        (0..self.rounds).flat_map(|round| (0..self.size).map(move |at| byte(round, at))).sum()
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let Game { way, rounds, size, speaks, tries, .. } = self;
        let versions = match *way {
            REFUSE => format!(", the server speaks version {speaks}, the client tries {tries:?}"),
            _ => String::new(),
        };
        format!("{} of {}{versions}", count(*rounds, "round"), count(*size, "byte"))
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let Game { way, rounds, size, fill, speaks, .. } = self;
        // The connection manager waits seconds for what is lost, and on cards of this computer they pass.
        let waits = players.program().language() != Language::Rust && *way != HAND;
        let loss = if waits { Chance::NEVER } else { self.loss };
        let link = Link { loss, ..Link::perfect(Duration::from_micros(2)) };
        let way = [HAND, CM, REFUSE, SOCKETS].iter().position(|name| name == way).unwrap_or_default();
        let tries: Vec<String> = self.tries.iter().map(u64::to_string).collect();
        let parts = [
            ("server".to_owned(), format!("{way} {rounds} {size} {speaks}")),
            ("client".to_owned(), format!("{way} {rounds} {size} {fill} {}", tries.join(" "))),
        ];
        let mut stage = Stage::open(players, self.seed, link, &parts)?;
        stage.forbid_rnr(&RECEIVE_FIRST);
        let results = stage.play(players)?;
        let seen =
            |rule: &'static Rule, text: String| Err(stage.wrong(rule, vec![Row::text("Seen", &text)]).into());
        if self.way != HAND && stage.tells() > 0 {
            return seen(&TOLD, format!("tell() was called {} times", stage.tells()));
        }
        let rejected = stage.rejected(0);
        if self.way == REFUSE && rejected != self.tries.len() - 1 {
            return seen(
                &VERSION,
                format!("{rejected} of the client's {} requests were rejected", self.tries.len()),
            );
        }
        let wanted = self.sum().to_string();
        if results[1] != wanted {
            let rule = if self.way == SOCKETS { &BYTES } else { &CONTENT };
            return seen(rule, format!("the client returned {}, not {wanted}", results[1]));
        }
        if self.way == SOCKETS && stage.sent_bytes(1) < rounds * size {
            let sent = stage.sent_bytes(1);
            return seen(&CARD, format!("the client's card sent {sent} bytes for {}", self.describe()));
        }
        Ok(())
    }
}
