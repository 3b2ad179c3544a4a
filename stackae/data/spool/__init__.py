"""Rows that their files hold in another form, written once as one .npy file in the cache, and read from there."""
