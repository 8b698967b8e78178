//! Who is signed in, which account is meant, and the way out.

mod choice;
mod logout;
mod status;
