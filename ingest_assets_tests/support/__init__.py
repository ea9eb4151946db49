"""What the tests share: real parts to test with, and ways to compare results.

What belongs here: no test, and nothing that one test module alone needs.
"""
