//! The product, reached through the built binary only. One test binary of modules, so that it links
//! once.

mod accounts;
mod azure;
mod bearer;
mod codemie;
mod config;
mod contract;
mod cursor;
mod device;
mod doctor;
mod exec;
mod key;
mod leaks;
mod login;
mod network;
mod pending;
mod provider;
mod race;
mod rows;
mod scripts;
mod setup;
mod source;
mod store;
mod support;
mod token;
mod vertex;
