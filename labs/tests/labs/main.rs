//! The labs as a student meets them: files in a folder, checked.

mod classroom;
mod folders;
mod functions;
mod hostile;
mod packet_by_hand;
mod protocol;
mod repeats;
mod verbs;
