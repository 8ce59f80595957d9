//! The lab "Atomics": a counter and a lock.

use std::time::Duration;

use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, count};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const ATOMICS: Lab = Lab {
    name: "atomics",
    title: "Atomics",
    language: Language::Rust,
    text: course_file!("atomics/README.md"),
    file: "atomics.rs",
    starter: course_file!("atomics/starter.rs"),
    harness: course_file!("atomics/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: TICKET,
            title: "a counter that gives out every number once",
            hints: &[
                "Register 8 bytes with LOCAL_WRITE in new; Op::FetchAdd(counter, 1) puts the old value there.",
                "Memory::word(0) reads the old value, once the completion is there.",
            ],
            questions: 6,
        },
        Step {
            name: LOCK,
            title: "a lock, and an account that it guards",
            hints: &[
                "Op::CompareSwap { remote: lock, compare: 0, swap: 1 } has taken the lock if what came back is 0.",
                "Then READ the account, write the sum into your memory, WRITE it to the account, and wait for the \
                 completion.",
                "The lock is given back by WRITE of 0, after that.",
            ],
            questions: 6,
        },
        Step {
            name: LOSSY,
            title: "both, on a network that loses packets",
            hints: &[
                "Nothing: cards repeat what is lost, and do an atomic once only. Do you wait for every \
                      completion?",
            ],
            questions: 6,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const TICKET: &str = "ticket";
const LOCK: &str = "lock";
const LOSSY: &str = "lossy";

const ONCE: Rule = Rule {
    name: "ticket.once",
    text: "All clients together get 0, 1, 2, ...: no ticket twice, and none left out.",
    source: "this lab",
};

const COUNTER: Rule =
    Rule { name: "ticket.counter", text: "Every ticket increases the counter by one.", source: "this lab" };

const EXCLUDES: Rule = Rule {
    name: "lock.excludes",
    text: "Only who holds the lock reads and writes the account, so that no deposit is lost.",
    source: "this lab",
};

const RELEASED: Rule =
    Rule { name: "lock.released", text: "The lock is 0 again when nobody holds it.", source: "this lab" };

#[derive(Debug)]
struct Game {
    seed: u64,
    clients: u64,
    rounds: u64,
    lock: bool,
    loss: Chance,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let clients = 1 + number.min(3) as u64;
        let lossy = step == LOSSY;
        let rounds = if lossy { 8 } else { 2 } + dice.number(3);
        let lock = step == LOCK || (lossy && number % 2 == 1);
        let loss = if lossy { Chance::percent(3) } else { Chance::NEVER };
        Game { seed: dice.bits(), clients, rounds, lock, loss }
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let what = if self.lock { "deposits of 1, 2, ..." } else { "tickets" };
        format!("{}, {} {what} each", count(self.clients, "client"), self.rounds)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let Game { seed, clients, rounds, lock, loss } = *self;
        let link = Link { loss, ..Link::perfect(Duration::from_micros(2)) };
        let arguments = format!("{clients} {rounds} {}", u8::from(lock));
        let names = std::iter::once("server".to_owned()).chain((0..clients).map(|n| format!("client-{n}")));
        let parts: Vec<(String, String)> = names.map(|name| (name, arguments.clone())).collect();
        let mut stage = Stage::open(players, seed, link, &parts)?;
        stage.play(players)?;
        let memory = stage.memory(0, 0).unwrap_or_default();
        let word = |number: usize| {
            let bytes = memory[8 * number..8 * number + 8].try_into().expect("eight bytes");
            u64::from_ne_bytes(bytes)
        };
        let verdict =
            if lock { judge_lock(word(1), word(2), self) } else { judge_tickets(&stage, word(0), self) };
        verdict.map_err(|(rule, text)| stage.wrong(rule, vec![Row::text("Seen", &text)]).into())
    }
}

fn judge_lock(lock: u64, account: u64, game: &Game) -> Result<(), (&'static Rule, String)> {
    let wanted = game.clients * (1..=game.rounds).sum::<u64>();
    if account != wanted {
        return Err((&EXCLUDES, format!("the account has {account} in the end, not {wanted}")));
    }
    if lock != 0 {
        return Err((&RELEASED, format!("the lock is {lock} in the end")));
    }
    Ok(())
}

fn judge_tickets(stage: &Stage, counter: u64, game: &Game) -> Result<(), (&'static Rule, String)> {
    let clients = 1..=game.clients as usize;
    let told = clients.flat_map(|client| stage.told(client, 0));
    let mut tickets: Vec<u64> = told.filter_map(|ticket| ticket.parse().ok()).collect();
    tickets.sort_unstable();
    let wanted = game.clients * game.rounds;
    if tickets.iter().copied().ne(0..wanted) {
        let shown: Vec<String> = tickets.iter().map(u64::to_string).collect();
        return Err((&ONCE, format!("tickets, in order: {}", shown.join(" "))));
    }
    if counter != wanted {
        return Err((&COUNTER, format!("the counter is {counter} in the end, not {wanted}")));
    }
    Ok(())
}
