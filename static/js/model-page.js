// A model's card: the intervals of its table.
import { showFigures } from "./run/confusion.js";

showFigures();
