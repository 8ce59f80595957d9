//! Plays a part of the student's.

mod pingpong;

fn main() {
    rdma::act(|nic, part, numbers| {
        let (rounds, size) = (numbers[0], numbers[1] as usize);
        match part {
            "server" => pingpong::server(nic, rounds, size),
            _ => return pingpong::client(nic, rounds, size, numbers[2] as u8),
        }
        0
    });
}
