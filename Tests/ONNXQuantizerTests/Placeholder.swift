// The tests of this target are being written.
