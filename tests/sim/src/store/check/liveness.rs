//! What is healed works again.

use super::Property;

pub(crate) static PROPERTY: Property = Property {
    name: "after all is healed, every region serves, and nothing is left over",
    source: "Raft paper, section 5.6; RS10 and RS18 of the list of known bugs of such systems",
};
