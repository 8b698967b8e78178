//! Who is signed in, which account is meant, and the way out.

mod attributes;
mod choice;
mod logout;
mod status;
