//! Drives the student's table of keys, one call a line.

mod keys;

use keys::{Denied, Keys};
use talk::{Talk, numbers};

fn main() {
    let mut table = Keys::new();
    Talk::new().answer(|line| {
        let arguments = numbers(line);
        match line.split(' ').next().unwrap_or_default() {
            "new" => {
                table = Keys::new();
                String::new()
            }
            "register" => {
                table.register(arguments[0], arguments[1], arguments[2] as u8, arguments[3] as u32).to_string()
            }
            "deregister" => {
                table.deregister(arguments[0] as u32);
                String::new()
            }
            "check" => {
                let (key, domain, need) = (arguments[0] as u32, arguments[1] as u32, arguments[2] as u8);
                match table.check(key, domain, need, arguments[3], arguments[4]) {
                    Ok(()) => "ok".to_owned(),
                    Err(Denied::Key) => "key".to_owned(),
                    Err(Denied::Domain) => "domain".to_owned(),
                    Err(Denied::Rights) => "rights".to_owned(),
                    Err(Denied::Range) => "range".to_owned(),
                }
            }
            other => unreachable!("no call is named {other}"),
        }
    });
}
