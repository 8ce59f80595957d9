//! Asks the student's functions, one call a line.

mod savings;

use savings::{Call, Cost, Verb};
use talk::{Talk, numbers};

const VERBS: [Verb; 9] = [
    Verb::RegMr,
    Verb::CreateCq,
    Verb::CreateQp,
    Verb::ModifyQp,
    Verb::PostSend,
    Verb::PostRecv,
    Verb::PollCq,
    Verb::ReqNotifyCq,
    Verb::GetCqEvent,
];

fn main() {
    Talk::new().answer(|line| {
        let numbers = numbers(line);
        let words = |Cost { crossings, copied }: Cost| format!("crossings {crossings} copied {copied}");
        match line.split(' ').next().unwrap_or_default() {
            "sockets" => {
                let call = |pair: &[u64]| match pair[0] {
                    0 => Call::Send(pair[1]),
                    1 => Call::Receive(pair[1]),
                    _ => Call::Wait,
                };
                words(savings::sockets(&numbers.chunks_exact(2).map(call).collect::<Vec<_>>()))
            }
            "verbs" => words(savings::verbs(&numbers.iter().map(|&verb| VERBS[verb as usize]).collect::<Vec<_>>())),
            _ => format!("{:?}", savings::pays_after(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])),
        }
    });
}
