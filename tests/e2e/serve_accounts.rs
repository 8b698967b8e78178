//! `serve` and its accounts: whose turn it is, who cools down and how long, who answers instead, and how
//! tokens and files stay fresh meanwhile.

mod beside;
mod cool;
mod files;
mod fresh;
mod kit;
mod load;
mod moves;
mod over;
mod restart;
mod talk;
mod turns;
