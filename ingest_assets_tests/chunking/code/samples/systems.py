"""Samples of languages that are compiled to machine code."""

from __future__ import annotations

SAMPLES: dict[str, tuple[str, list[tuple[str, str]]]] = {}

SAMPLES["Go"] = (
    """// Package harbour knows berths.
package harbour

import (
	"errors"
	"fmt"
)

const Limit = 12

var ErrFull = errors.New("full")

// Crane lifts containers.
type Crane struct {
	Name string
	Side int
}

type Lifter interface {
	Lift(weight int) (bool, error)
}

type Berths map[string]int

// Lift says whether it can.
func (c *Crane) Lift(weight int) (bool, error) {
	if weight > Limit {
		return false, ErrFull
	}
	return true, nil
}

func Distance[T int | float64](a, b T) T {
	if a > b {
		return a - b
	}
	return b - a
}
""",
    [
        ("const", "Limit"),
        ("static", "ErrFull"),
        ("struct", "Crane"),
        ("interface", "Lifter"),
        ("type_alias", "Berths"),
        ("method", "Crane.Lift"),
        ("function", "Distance"),
    ],
)

SAMPLES["Rust"] = (
    """//! Berths of a harbour.

use std::fmt;

pub const LIMIT: u32 = 12;
static OPEN: bool = true;
type Berths = Vec<u32>;

/// Lifts containers.
#[derive(Debug)]
pub struct Crane<T> {
    name: T,
}

enum Side {
    Left,
    Right,
}

pub trait Lifter {
    fn lift(&self, weight: u32) -> bool;

    fn twice(&self, weight: u32) -> bool {
        self.lift(weight) && self.lift(weight)
    }
}

impl<T: fmt::Debug> Lifter for Crane<T> {
    /// Whether it can.
    fn lift(&self, weight: u32) -> bool {
        weight < LIMIT
    }
}

mod tide {
    pub fn height(hour: u32) -> u32 {
        hour % 12
    }
}

macro_rules! twice {
    ($x:expr) => {
        $x + $x
    };
}

#[test]
fn opens() {
    assert!(OPEN);
}
""",
    [
        ("const", "LIMIT"),
        ("static", "OPEN"),
        ("type_alias", "Berths"),
        ("struct", "Crane"),
        ("enum", "Side"),
        ("trait", "Lifter"),
        ("method", "Lifter.twice"),
        ("impl", "Lifter for Crane"),
        ("method", "Crane.lift"),
        ("module", "tide"),
        ("function", "tide.height"),
        ("macro", "twice"),
        ("function", "opens"),
    ],
)

SAMPLES["C"] = (
    """/* Berths of a harbour. */
#ifndef HARBOUR_H
#define HARBOUR_H

#include <stdio.h>

#define LIMIT 12
#define TWICE(x) ((x) + (x))

typedef unsigned int metres;

/* Lifts containers. */
struct crane {
    char *name;
    int side;
};

typedef struct {
    int depth;
} berth_t;

enum side { LEFT, RIGHT };

static const int open_hours = 8;

int distance(int a, int b);

// Whether it can.
static char *lift(struct crane *c, int weight)
{
    if (weight > LIMIT)
        return NULL;
    return c->name;
}

#endif
""",
    [
        ("macro", "LIMIT"),
        ("macro", "TWICE"),
        ("type_alias", "metres"),
        ("struct", "crane"),
        ("struct", "berth_t"),
        ("enum", "side"),
        ("static", "open_hours"),
        ("function", "distance"),
        ("function", "lift"),
    ],
)

SAMPLES["C++"] = (
    """#pragma once
#include <string>

namespace harbour {

using Metres = double;
constexpr int kLimit = 12;

/// Lifts containers.
template <typename T>
class Crane : public Base {
 public:
  explicit Crane(std::string name) : name_(name) {}

  // Whether it can.
  bool lift(T weight) const {
    return weight < kLimit;
  }

  T& operator+=(const T& other);

 private:
  std::string name_;
};

struct Berth {
  int depth;
};

enum class Side { Left, Right };

Metres distance(Metres a, Metres b) {
  return a > b ? a - b : b - a;
}

}  // namespace harbour

void harbour::Port::open() {
  ready = true;
}
""",
    [
        ("module", "harbour"),
        ("type_alias", "harbour.Metres"),
        ("class", "harbour.Crane"),
        ("method", "harbour.Crane.lift"),
        ("struct", "harbour.Berth"),
        ("enum", "harbour.Side"),
        ("function", "harbour.distance"),
        ("method", "harbour.Port.open"),
    ],
)
