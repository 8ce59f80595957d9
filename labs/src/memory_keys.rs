//! The lab "Memory keys": the student's table of registered memory.

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, Wrong};
use crate::talk::{Players, Stop};

pub(crate) const MEMORY_KEYS: Lab = Lab {
    name: "memory-keys",
    title: "Memory keys",
    language: Language::Rust,
    text: course_file!("memory-keys/README.md"),
    file: "keys.rs",
    starter: course_file!("memory-keys/starter.rs"),
    harness: course_file!("memory-keys/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: RANGE,
            title: "inside the region, to the last byte",
            hints: &[
                "Subtract, do not add: begin = addr - region.addr (checked_sub: it may be before the region), and \
                 then compare with what is left of the region.",
                "len > region.len - begin is right for every begin up to region.len, and never overflows.",
            ],
            questions: 24,
        },
        Step {
            name: RIGHTS,
            title: "rights and protection domains",
            hints: &["region.rights & need is 0 if the right is missing."],
            questions: 24,
        },
        Step {
            name: LIFE,
            title: "keys that are gone",
            hints: &[
                "Count registrations and never go back: a key made from that number is not given out twice.",
            ],
            questions: 12,
        },
        Step {
            name: GUESS,
            title: "keys that nobody can guess",
            hints: &[
                "RandomState::new().hash_one(number) is a number that looks random, the same for the same \
                 RandomState and number. Keep the RandomState.",
                "Different numbers can have the same hash: take another if the key is in use.",
            ],
            questions: 3,
        },
    ],
    draw: |step, number, dice| match step {
        GUESS => Box::new(Guess { count: 64 + number * 100 }),
        _ => Box::new(Game::draw(step, number, dice)),
    },
};

const RANGE: &str = "range";
const RIGHTS: &str = "rights";
const LIFE: &str = "life";
const GUESS: &str = "guess";

const INSIDE: Rule = Rule {
    name: "key.range",
    text: "All bytes of an access lie in the region; sums are not computed modulo 2^64.",
    source: "IBTA volume 1, 10.6.6",
};

const ALLOWED: Rule = Rule {
    name: "key.rights",
    text: "A region allows what it was registered for, and nothing else.",
    source: "IBTA volume 1, 10.6.3",
};

const DOMAIN: Rule = Rule {
    name: "key.domain",
    text: "A region can be reached through queue pairs of its own protection domain only.",
    source: "IBTA volume 1, 10.2.3",
};

const GONE: Rule = Rule {
    name: "key.gone",
    text: "A key that was deregistered, or never given out, opens nothing.",
    source: "IBTA volume 1, 10.6.7",
};

const OPENS: Rule = Rule {
    name: "key.opens",
    text: "An access with the right key, domain, right and range is allowed.",
    source: "IBTA volume 1, 10.6.3",
};

const DIFFERENT: Rule = Rule {
    name: "key.unique",
    text: "No two regions have the same key at the same time.",
    source: "IBTA volume 1, 10.6.3",
};

const RANDOM: Rule = Rule {
    name: "key.guess",
    text: "A key tells nothing about other keys.",
    source: "Rothenberger et al., ReDMArk, USENIX Security 2021",
};

/// Rights by their bits.
const NAMES: [&str; 3] = ["READ", "WRITE", "ATOMIC"];

/// A region that was registered.
#[derive(Clone, Copy, Debug)]
struct Region {
    addr: u64,
    len: u64,
    rights: u8,
    domain: u32,
}

/// An access that is tried.
#[derive(Clone, Copy, Debug)]
struct Try {
    /// Index of the region whose key is named.
    region: usize,
    domain: u32,
    /// Bit of the right.
    need: u8,
    addr: u64,
    len: u64,
}

#[derive(Debug)]
struct Game {
    regions: Vec<Region>,
    /// Regions that are deregistered before the access is tried.
    gone: Vec<usize>,
    tried: Try,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let count = match step {
            RANGE => 1,
            RIGHTS => 1 + number % 3,
            _ => 2 + number,
        };
        let mut regions: Vec<Region> = (0..count).map(|_| draw_region(step, dice)).collect();
        let region = dice.bits() as usize % count;
        let Region { addr, len, domain, .. } = regions[region];
        let (at, wanted) = match (step, number % 8) {
            (RANGE, 0) => (0, len),
            (RANGE, 1) => (1, len),
            (RANGE, 2) => (len, 0),
            (RANGE, 3) => (len, 1),
            (RANGE, 4) => (0u64.wrapping_sub(1), 1),
            (RANGE, 5) => (1, u64::MAX),
            (RANGE, 6) => (u64::MAX - addr, addr.max(2)),
            _ => (dice.bits() % len, 1),
        };
        let domain = if step == RIGHTS && number % 3 == 1 { domain + 1 } else { domain };
        let need = 1 << (dice.bits() % 3);
        if step == RIGHTS && number % 3 == 2 {
            // All but the one that is needed.
            regions[region].rights = 7 ^ need;
        }
        // Every other time the one that is tried is among them.
        let mut is_gone = |at| if at == region { number.is_multiple_of(2) } else { dice.flag() };
        let gone = if step == LIFE { (0..count).filter(|&at| is_gone(at)).collect() } else { Vec::new() };
        Game { regions, gone, tried: Try { region, domain, need, addr: addr.wrapping_add(at), len: wanted } }
    }

    /// What is wrong with the access: all that may be said.
    fn faults(&self) -> Vec<(&'static str, &'static Rule)> {
        let Try { region, domain, need, addr, len } = self.tried;
        if self.gone.contains(&region) {
            return vec![("key", &GONE)];
        }
        let region = self.regions[region];
        let begins = u128::from(addr) >= u128::from(region.addr);
        let ends = u128::from(addr) + u128::from(len) <= u128::from(region.addr) + u128::from(region.len);
        let faults = [
            (region.domain != domain, ("domain", &DOMAIN)),
            (region.rights & need == 0, ("rights", &ALLOWED)),
            (!(begins && ends), ("range", &INSIDE)),
        ];
        faults.into_iter().filter(|(is_fault, _)| *is_fault).map(|(_, fault)| fault).collect()
    }
}

fn draw_region(step: &str, dice: &mut Dice) -> Region {
    let len = 1 + dice.number(16);
    // Some regions end where the addresses do.
    let addr = if dice.number(2) == 0 { (0u64.wrapping_sub(len)) & !0xFFF } else { dice.number(47) };
    let len = len.min(u64::MAX - addr);
    let rights = if step == RANGE { 7 } else { 1 + (dice.bits() % 7) as u8 };
    Region { addr, len, rights, domain: dice.number(3) as u32 }
}

fn rights(bits: u8) -> String {
    let names = NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    names.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
}

impl Question for Game {
    fn describe(&self) -> String {
        let Try { region, domain, need, addr, len } = self.tried;
        let Region { addr: start, len: has, rights: allowed, domain: own } = self.regions[region];
        let gone = if self.gone.contains(&region) { ", deregistered" } else { "" };
        format!(
            "{} of {len:#x} bytes at {addr:#x} in domain {domain}; the region: {has:#x} bytes at {start:#x}, {}, domain \
             {own}{gone}",
            rights(need),
            rights(allowed)
        )
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        players.ask("new")?;
        let mut keys = Vec::new();
        for Region { addr, len, rights, domain } in &self.regions {
            let key = players.ask(&format!("register {addr} {len} {rights} {domain}"))?;
            if keys.contains(&key) {
                let text = format!("key {key} was given out twice");
                return Err(Wrong::new(&DIFFERENT, vec![Row::text("Seen", &text)]).into());
            }
            keys.push(key);
        }
        for &region in &self.gone {
            players.ask(&format!("deregister {}", keys[region]))?;
            // Its place is taken by another that is open to everybody.
            players.ask(&format!("register 0 {} 7 {}", u64::MAX, self.tried.domain))?;
        }
        let Try { region, domain, need, addr, len } = self.tried;
        let seen = players.ask(&format!("check {} {domain} {need} {addr} {len}", keys[region]))?;
        let faults = self.faults();
        let wanted = match &faults[..] {
            [] => "Ok".to_owned(),
            faults => {
                let reasons: Vec<&str> = faults.iter().map(|(name, _)| *name).collect();
                format!("denied: {}", reasons.join(" or "))
            }
        };
        let is_right =
            if faults.is_empty() { seen == "ok" } else { faults.iter().any(|(name, _)| *name == seen) };
        if is_right {
            return Ok(());
        }
        let rule = faults.first().map_or(&OPENS, |(_, rule)| rule);
        let shown = if seen == "ok" { "Ok".to_owned() } else { format!("denied: {seen}") };
        let lines = [format!("expected  {wanted}"), format!("seen      {shown}")];
        Err(Wrong::new(rule, vec![Row::exact("check()", lines)]).into())
    }
}

/// Many keys, looked at as somebody would who wants to guess the next.
struct Guess {
    count: usize,
}

impl Question for Guess {
    fn describe(&self) -> String {
        format!("{} keys, one after the other", self.count)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        players.ask("new")?;
        let mut keys: Vec<u32> = Vec::new();
        for _ in 0..self.count {
            keys.push(players.ask("register 4096 4096 7 0")?.parse().unwrap_or_default());
        }
        let mut steps: Vec<u32> = keys.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        steps.sort_unstable();
        steps.dedup();
        // Of random steps hardly any comes twice; of random keys each half of the numbers gets its share.
        let high = keys.iter().filter(|&&key| key > u32::MAX / 2).count();
        let is_guessable =
            steps.len() < self.count * 9 / 10 || high < self.count / 8 || high > self.count * 7 / 8;
        if is_guessable {
            let shown: Vec<String> = keys.iter().take(5).map(|key| format!("{key:#010x}")).collect();
            let text = format!(
                "keys: {}, ...; {} different steps from one to the next",
                shown.join(", "),
                steps.len()
            );
            return Err(Wrong::new(&RANDOM, vec![Row::text("Seen", &text)]).into());
        }
        Ok(())
    }
}
