"""One short file in each language, written for these tests, with what a reader would call its symbols."""

from __future__ import annotations

# language: (file, the symbols that must be named somewhere: (kind, name))
SAMPLES: dict[str, tuple[str, list[tuple[str, str]]]] = {}

SAMPLES["Python"] = (
    '''"""Berths of a harbour."""

import os
from dataclasses import dataclass

LIMIT = 12
type Berths = list[int]


# How far a ship may be out
# of its lane.
@cached
def distance(a: float, b: float) -> float:
    """Metres between two buoys."""
    if a > b:
        return a - b
    return b - a


@dataclass
class Crane(Base):
    """Lifts containers."""

    name: str = "left"

    def lift(self, weight: int) -> bool:
        """Whether it can."""

        def strong(limit: int) -> bool:
            return weight < limit

        return strong(LIMIT)

    @property
    def idle(self) -> bool:
        return not self.name


if __name__ == "__main__":
    print(distance(1, 2))
''',
    [
        ("const", "LIMIT"),
        ("type_alias", "Berths"),
        ("function", "distance"),
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("method", "Crane.idle"),
    ],
)

SAMPLES["JavaScript"] = (
    """import { sum } from './sum.js';

const LIMIT = 12;

/** Metres between two buoys. */
export function distance(a, b) {
  return Math.abs(a - b);
}

const nearest = (buoys) => {
  return buoys.sort(distance)[0];
};

export default class Crane extends Base {
  name = 'left';

  // Whether it can.
  lift(weight) {
    return weight < LIMIT;
  }

  get idle() {
    return !this.name;
  }

  reset = () => {
    this.name = '';
  };
}

Crane.prototype.turn = function (degrees) {
  return degrees % 360;
};

module.exports = { Crane, nearest };
""",
    [
        ("const", "LIMIT"),
        ("function", "distance"),
        ("function", "nearest"),
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("method", "Crane.idle"),
        ("method", "Crane.reset"),
        ("function", "Crane.prototype.turn"),
    ],
)

SAMPLES["TypeScript"] = (
    """import type { Buoy } from './buoy';

export const LIMIT: number = 12;

type Berths = Map<string, number>;

/** What lifts. */
export interface Lifter {
  name: string;
  lift(weight: number): boolean;
}

export enum Side {
  Left,
  Right,
}

@Component({ selector: 'crane' })
export abstract class Crane implements Lifter {
  constructor(private readonly name: string) {}

  /** Whether it can. */
  lift(weight: number): boolean {
    return weight < LIMIT;
  }

  abstract turn(degrees: number): void;
}

namespace Harbour {
  export function open(): void {
    console.log('open');
  }
}

declare function tide(hour: number): number;
""",
    [
        ("const", "LIMIT"),
        ("type_alias", "Berths"),
        ("interface", "Lifter"),
        ("enum", "Side"),
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("module", "Harbour"),
        ("function", "Harbour.open"),
        ("function", "tide"),
    ],
)

SAMPLES["TSX"] = (
    """import React from 'react';

interface Props {
  name: string;
}

export const Berth: React.FC<Props> = ({ name }) => {
  return <li className="berth">{name}</li>;
};

export function Harbour(props: { berths: Props[] }) {
  return (
    <ul>
      {props.berths.map((b) => (
        <Berth key={b.name} {...b} />
      ))}
    </ul>
  );
}
""",
    [("interface", "Props"), ("function", "Berth"), ("function", "Harbour")],
)

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

SAMPLES["Java"] = (
    """package harbour;

import java.util.List;

/** Lifts containers. */
@Entity
public class Crane extends Base implements Lifter {
    private static final int LIMIT = 12;
    private String name;

    public Crane(String name) {
        this.name = name;
    }

    /** Whether it can. */
    @Override
    public boolean lift(int weight) {
        return weight < LIMIT;
    }

    enum Side { LEFT, RIGHT }
}

interface Lifter {
    boolean lift(int weight);
}

record Berth(String name, int depth) {}

@interface Tested {}
""",
    [
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("enum", "Crane.Side"),
        ("interface", "Lifter"),
        ("class", "Berth"),
        ("interface", "Tested"),
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

SAMPLES["C#"] = (
    """using System;

namespace Harbour
{
    /// <summary>Lifts containers.</summary>
    [Serializable]
    public class Crane : Base, ILifter
    {
        private const int Limit = 12;

        public string Name { get; set; }

        public Crane(string name)
        {
            Name = name;
        }

        /// <summary>Whether it can.</summary>
        public bool Lift(int weight)
        {
            return weight < Limit;
        }
    }

    public interface ILifter
    {
        bool Lift(int weight);
    }

    public struct Berth { public int Depth; }

    public enum Side { Left, Right }

    public record Tide(int Hour);

    public delegate void Opened(int hour);
}
""",
    [
        ("class", "Harbour.Crane"),
        ("method", "Harbour.Crane.Lift"),
        ("interface", "Harbour.ILifter"),
        ("struct", "Harbour.Berth"),
        ("enum", "Harbour.Side"),
        ("class", "Harbour.Tide"),
        ("type_alias", "Harbour.Opened"),
    ],
)

SAMPLES["Ruby"] = (
    """require 'set'

LIMIT = 12

module Harbour
  # Lifts containers.
  class Crane < Base
    attr_reader :name

    def initialize(name)
      @name = name
    end

    # Whether it can.
    def lift(weight)
      return false if weight.nil?

      weight < LIMIT
    end

    def self.left
      new('left')
    end
  end
end

def distance(a, b)
  (a - b).abs
end
""",
    [
        ("const", "LIMIT"),
        ("class", "Harbour.Crane"),
        ("method", "Harbour.Crane.lift"),
        ("method", "Harbour.Crane.left"),
        ("function", "distance"),
    ],
)

SAMPLES["PHP"] = (
    """<?php

namespace Harbour;

use Countable;

const LIMIT = 12;

/** Lifts containers. */
#[Entity]
final class Crane extends Base implements Lifter
{
    private string $name = 'left';

    public function __construct(string $name)
    {
        $this->name = $name;
    }

    /** Whether it can. */
    public function lift(int $weight): bool
    {
        return $weight < LIMIT;
    }
}

interface Lifter
{
    public function lift(int $weight): bool;
}

trait Turns
{
    public function turn(): void {}
}

enum Side { case Left; case Right; }

function distance(float $a, float $b): float
{
    return abs($a - $b);
}
?>
<p>Open</p>
""",
    [
        ("const", "LIMIT"),
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("interface", "Lifter"),
        ("trait", "Turns"),
        ("enum", "Side"),
        ("function", "distance"),
    ],
)

SAMPLES["Kotlin"] = (
    """package harbour

import java.util.UUID

const val LIMIT = 12

typealias Berths = Map<String, Int>

/** Lifts containers. */
@Serializable
class Crane(private val name: String) : Base(), Lifter {
    val side = Side.LEFT

    // Whether it can.
    override fun lift(weight: Int): Boolean {
        return weight < LIMIT
    }

    companion object {
        fun left() = Crane("left")
    }
}

interface Lifter {
    fun lift(weight: Int): Boolean
}

enum class Side { LEFT, RIGHT }

object Harbour {
    fun open() = println("open")
}

fun distance(a: Double, b: Double): Double {
    return kotlin.math.abs(a - b)
}
""",
    [
        ("const", "LIMIT"),
        ("type_alias", "Berths"),
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("interface", "Lifter"),
        ("enum", "Side"),
        ("class", "Harbour"),
        ("function", "distance"),
    ],
)

SAMPLES["Swift"] = (
    """import Foundation

let limit = 12

typealias Berths = [String: Int]

/// Lifts containers.
@objc
public class Crane: Base, Lifter {
    var name: String = "left"

    init(name: String) {
        self.name = name
    }

    /// Whether it can.
    func lift(_ weight: Int) -> Bool {
        return weight < limit
    }
}

protocol Lifter {
    func lift(_ weight: Int) -> Bool
}

struct Berth {
    let depth: Int
}

enum Side {
    case left, right
}

extension Crane {
    func turn() { name = "right" }
}

func distance(_ a: Double, _ b: Double) -> Double {
    return abs(a - b)
}
""",
    [
        ("const", "limit"),
        ("type_alias", "Berths"),
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("interface", "Lifter"),
        ("struct", "Berth"),
        ("enum", "Side"),
        ("impl", "Crane"),
        ("function", "distance"),
    ],
)

SAMPLES["Scala"] = (
    """package harbour

import scala.math.abs

/** Lifts containers. */
class Crane(name: String) extends Base with Lifter {
  val side = 1

  // Whether it can.
  override def lift(weight: Int): Boolean = {
    weight < Harbour.Limit
  }
}

trait Lifter {
  def lift(weight: Int): Boolean
}

object Harbour {
  val Limit = 12
  type Berths = Map[String, Int]

  def distance(a: Double, b: Double): Double =
    abs(a - b)
}
""",
    [
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("trait", "Lifter"),
        ("class", "Harbour"),
        ("method", "Harbour.distance"),
    ],
)
