//! What lies in the home: modes, damage, full and read-only disks, places, left-overs and names.

mod damage;
mod disk;
mod leftovers;
mod modes;
mod names;
mod owners;
mod places;
