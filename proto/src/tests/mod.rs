//! What holds the words to their promises.
