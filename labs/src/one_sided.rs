//! The lab "One-sided": READ and WRITE, and what a wrong key, range or right does to both sides.

use std::time::Duration;

use ferroce_engine::QpState;
use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, rules};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const ONE_SIDED: Lab = Lab {
    name: "one-sided",
    title: "One-sided",
    language: Language::Rust,
    text: course_file!("one-sided/README.md"),
    file: "window.rs",
    starter: course_file!("one-sided/starter.rs"),
    harness: course_file!("one-sided/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: WRITE,
            title: "write into the other side's memory",
            hints: &[
                "Put the bytes into memory of your own, which `new` has registered, post Op::Write with the address remote.addr + at and \
                 the key remote.rkey, and wait for the completion.",
                "Op::Write(Remote { addr: self.remote.addr + at, ..self.remote }).",
            ],
            questions: 4,
        },
        Step {
            name: READ,
            title: "read from it",
            hints: &["The same with Op::Read. The bytes are in your memory when the completion is there."],
            questions: 4,
        },
        Step {
            name: NOTICE,
            title: "a letter that nobody announces",
            hints: &[
                "Two WRITEs, in this order: the letter, then its flag. A card carries out requests of one queue pair in \
                 the order in which they were posted.",
                "receive_letter looks at the flag again and again, with nic.work(1000) in between. Only when the flag has \
                 this letter's number is the letter complete.",
            ],
            questions: 4,
        },
        Step {
            name: REFUSED,
            title: "when the other card refuses",
            hints: &[
                "Return the completion's status as an error, whatever it is but \"success\".",
                "After an error the queue pair is in Err and carries nothing out any more. In `reconnect` make a new one \
                 (its completions can go to the same queue), and connect it: connect(nic, &[(\"owner\", &qp)], access).",
            ],
            questions: 6,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const WRITE: &str = "write";
const READ: &str = "read";
const NOTICE: &str = "notice";
const REFUSED: &str = "refused";

rules! {
    WRITTEN "write.content" "IBTA volume 1, 9.4.3":
        "After the completion of a WRITE its bytes, and no others, are in the other side's memory.";
    GOT "read.content" "IBTA volume 1, 9.4.4":
        "A READ brings the bytes that are in the other side's memory.";
    ORDER "letter.order" "IBTA volume 1, 9.5":
        "A letter is complete before its flag says so: WRITEs of one queue pair are carried out in their order.";
    STATUS "refused.status" "IBTA volume 1, 11.6.2":
        "What the other card refuses completes with RemAccessErr; all else succeeds.";
    RECOVERS "refused.recovers" "IBTA volume 1, 10.3.1":
        "An error leaves both queue pairs in Err; whoever wants to go on connects new ones.";
}

/// Bytes of the owner's memory.
const SIZE: u64 = 4096;

/// What is done with the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Put,
    Get,
    /// A letter for the owner's program.
    Letter,
    /// A put beyond the end of the memory.
    Beyond,
    /// A put with another key.
    Key,
}

#[derive(Debug)]
struct Game {
    seed: u64,
    loss: Chance,
    /// What, where, and how many bytes of what.
    deeds: Vec<(Deed, u64, u64, u8)>,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let count = 1 + 2 * number;
        let refused = [Deed::Beyond, Deed::Key];
        // Where something was put last.
        let mut put = (0, 0);
        let deeds = (0..count).map(|index| {
            let deed = match step {
                WRITE => Deed::Put,
                READ => [Deed::Put, Deed::Get][index % 2],
                NOTICE => Deed::Letter,
                _ if index % 2 == number % 2 => refused[(index / 2 + number) % 2],
                _ => [Deed::Put, Deed::Get][dice.number(1) as usize],
            };
            let mut len = if number == 0 { 4 } else { 4 + dice.number(10) };
            let mut at = dice.bits() % (SIZE - len);
            if deed == Deed::Put {
                put = (at, len);
            } else if step == READ {
                // The second half of that, and what lies behind it.
                at = put.0 + put.1 / 2;
                len = len.min(SIZE - at);
            }
            (deed, at, len, dice.number(8) as u8)
        });
        let deeds = deeds.collect();
        // A refusal is said once: if it is lost, the request ends with "retry exceeded". And whoever looks at memory while a
        // lost packet is waited for looks for long.
        let loss =
            if number > 2 && matches!(step, WRITE | READ) { Chance::percent(3) } else { Chance::NEVER };
        Game { seed: dice.bits(), loss, deeds }
    }

    /// The owner's memory in the end, and the sum of all bytes that were got.
    fn outcome(&self) -> (Vec<u8>, u64) {
        let mut memory = vec![0; SIZE as usize];
        let mut sum = 0;
        for &(deed, at, len, fill) in &self.deeds {
            let part = &mut memory[at as usize..(at + len) as usize];
            match deed {
                Deed::Put => {
                    let bytes = (0..len).map(|n| fill.wrapping_add(n as u8));
                    part.iter_mut().zip(bytes).for_each(|(byte, put)| *byte = put);
                }
                Deed::Get => sum += part.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
                Deed::Letter | Deed::Beyond | Deed::Key => {}
            }
        }
        (memory, sum)
    }

    /// The sum of all bytes of all letters, each byte times its place.
    fn letters(&self) -> u64 {
        let letters = self.deeds.iter().filter(|(deed, ..)| *deed == Deed::Letter);
        let digest = |&(_, _, len, fill): &(Deed, u64, u64, u8)| -> u64 {
            (0..len).map(|n| (n + 1) * u64::from(fill.wrapping_add(n as u8))).sum()
        };
        letters.map(digest).sum()
    }

    /// A bit for each deed that is refused.
    fn refused(&self) -> u64 {
        let is_refused = |deed: Deed| matches!(deed, Deed::Beyond | Deed::Key);
        self.deeds.iter().zip(0..).map(|(&(deed, ..), bit)| u64::from(is_refused(deed)) << bit).sum()
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let deed = |&(deed, at, len, _): &(Deed, u64, u64, u8)| match deed {
            Deed::Letter => format!("a letter of {len} bytes"),
            Deed::Beyond => format!("put {len} bytes beyond the end"),
            Deed::Key => format!("put({at}, {len} bytes) with a wrong key"),
            Deed::Put => format!("put({at}, {len} bytes)"),
            Deed::Get => format!("get({at}, {len} bytes)"),
        };
        let deeds: Vec<String> = self.deeds.iter().take(4).map(deed).collect();
        let more =
            if self.deeds.len() > 4 { format!(" and {} more", self.deeds.len() - 4) } else { String::new() };
        format!("{}{more}", deeds.join(", "))
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let link = Link { loss: self.loss, ..Link::perfect(Duration::from_micros(2)) };
        let deeds: Vec<String> = self
            .deeds
            .iter()
            .map(|&(deed, at, len, fill)| format!("{} {at} {len} {fill}", deed as u64))
            .collect();
        let letters = self.deeds.iter().filter(|(deed, ..)| *deed == Deed::Letter).count();
        let parts = [
            ("owner".to_owned(), format!("{SIZE} {letters}")),
            ("user".to_owned(), format!("{SIZE} {}", deeds.join(" "))),
        ];
        let mut stage = Stage::open(players, self.seed, link, &parts)?;
        let results = stage.play(players)?;
        let seen =
            |rule: &'static Rule, text: String| Err(stage.wrong(rule, vec![Row::text("Seen", &text)]).into());
        let number = |index: usize| results[index].parse::<u64>().unwrap_or(u64::MAX);
        let (refused, wanted) = (number(1) & 0xFFFF_FFFF, self.refused());
        if let Some(index) = (0..self.deeds.len()).find(|bit| (refused ^ wanted) >> bit & 1 == 1) {
            let words = match wanted >> index & 1 {
                0 => "failed",
                _ => "did not complete with RemAccessErr",
            };
            let again = self.deeds[..index].iter().any(|(deed, ..)| matches!(deed, Deed::Beyond | Deed::Key));
            let rule = if words == "failed" && again { &RECOVERS } else { &STATUS };
            return seen(rule, format!("number {} of these {words}", index + 1));
        }
        if number(0) != self.letters() {
            return seen(&ORDER, "the owner's program read something else than was written".to_owned());
        }
        let (memory, sum) = self.outcome();
        let last = stage.states(1).last().copied();
        let ends_well = self.deeds.last().is_none_or(|(deed, ..)| !matches!(deed, Deed::Beyond | Deed::Key));
        if ends_well && last != Some(QpState::Rts) {
            return seen(&RECOVERS, format!("the user's last queue pair is in {last:?}"));
        }
        let found = stage.memory(0, 0).unwrap_or_default();
        if letters == 0 && found != memory {
            let at =
                found.iter().zip(&memory).position(|(found, wanted)| found != wanted).unwrap_or_default();
            return seen(
                &WRITTEN,
                format!("byte {at} of the owner's memory is {}, not {}", found[at], memory[at]),
            );
        }
        if number(1) >> 32 != sum & 0xFFFF_FFFF {
            return seen(
                &GOT,
                format!("the bytes that get() returned have the sum {}, not {sum}", number(1) >> 32),
            );
        }
        Ok(())
    }
}
