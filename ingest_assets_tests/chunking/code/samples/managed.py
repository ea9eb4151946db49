"""Samples of languages of the large platforms."""

from __future__ import annotations

SAMPLES: dict[str, tuple[str, list[tuple[str, str]]]] = {}

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
