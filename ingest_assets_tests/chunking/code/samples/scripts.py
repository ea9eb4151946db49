"""Samples of scripting languages."""

from __future__ import annotations

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
